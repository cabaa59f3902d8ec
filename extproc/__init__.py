"""What a policy author may import, and nothing else. Everything is loaded when it is first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extproc.certificates import Certificate, read_certificate
    from extproc.config.settings import (
        AnswerCel,
        Condition,
        Duration,
        EditableHeader,
        EventCel,
        File,
        FileOrUrl,
        HeaderName,
        LimitRate,
        Name,
        QueryName,
        RequestCel,
        Scope,
        Secret,
        Settings,
        Size,
        Url,
        ValueCel,
    )
    from extproc.core.adaptation import adapt_body, adapt_event
    from extproc.core.addresses import Network, is_among, parse_address
    from extproc.core.aggregating import Aggregator
    from extproc.core.api_key import digest, is_well_formed
    from extproc.core.choice import Draw, choose
    from extproc.core.cookies import cookie_names, cookie_of
    from extproc.core.decision import CONTINUE, Continue, Decision, HeaderEdits, LocalReply, refusal
    from extproc.core.endings import Ending, Spent, ending_of
    from extproc.core.errors import CouldNotDecide, InvalidMutation, InvalidToken, ProviderUnavailable, StoreUnavailable
    from extproc.core.flights import Flights
    from extproc.core.framing import Framing, Record, event_in, spelled_event
    from extproc.core.headers import Headers
    from extproc.core.lens import Lens, Memory, NotAdaptable
    from extproc.core.limits import (
        Charge,
        Counter,
        CounterState,
        Hit,
        Judged,
        Limit,
        Per,
        Settlement,
        address_subject,
        holds,
        is_budget,
    )
    from extproc.core.message import Consumer, Request, Response
    from extproc.core.metering import Count, Meter
    from extproc.core.models import BLANK, NamedBy, Pin, is_in_tiers
    from extproc.core.names import API_STATUS, API_VERSION, MODEL_FALLBACK, MODEL_VERSION, model_cluster
    from extproc.core.own_answers import OwnAnswer, OwnStream
    from extproc.core.policy import Authenticator, Context, Phase, Policy
    from extproc.core.ports import (
        ASYMMETRIC,
        Answer,
        Call,
        Clock,
        CounterStore,
        Ended,
        Expression,
        Fetch,
        KeySet,
        KeySets,
        KeySource,
        KeyStore,
        Ports,
        ShareTable,
        TokenTally,
    )
    from extproc.core.query import Parameter, parameters, parameters_called
    from extproc.core.rate_limit import rate_limit_headers, rate_limited
    from extproc.core.remembered import Remembered
    from extproc.core.reservation import Reservation, ahead_of, window_end
    from extproc.core.rewrite import Rewrite
    from extproc.core.shares import Shares
    from extproc.core.specs import (
        AccessRule,
        AdaptSpec,
        AggregateSpec,
        AuthorizeSpec,
        ChooseSpec,
        LimitSpec,
        ModelsSpec,
        Version,
        VersionSpec,
    )
    from extproc.core.streams import BodyEditor
    from extproc.core.strict_json import loads_strictly
    from extproc.core.variables import variables
    from extproc.core.versions import ApiVersion, version_refused

HOMES = {
    "extproc.certificates": (
        "Certificate",
        "read_certificate",
    ),
    "extproc.config.settings": (
        "AnswerCel",
        "Condition",
        "Duration",
        "EditableHeader",
        "EventCel",
        "File",
        "FileOrUrl",
        "HeaderName",
        "LimitRate",
        "Name",
        "QueryName",
        "RequestCel",
        "Scope",
        "Secret",
        "Settings",
        "Size",
        "Url",
        "ValueCel",
    ),
    "extproc.core.adaptation": (
        "adapt_body",
        "adapt_event",
    ),
    "extproc.core.addresses": (
        "Network",
        "is_among",
        "parse_address",
    ),
    "extproc.core.aggregating": ("Aggregator",),
    "extproc.core.api_key": (
        "digest",
        "is_well_formed",
    ),
    "extproc.core.choice": (
        "Draw",
        "choose",
    ),
    "extproc.core.cookies": (
        "cookie_names",
        "cookie_of",
    ),
    "extproc.core.decision": (
        "CONTINUE",
        "Continue",
        "Decision",
        "HeaderEdits",
        "LocalReply",
        "refusal",
    ),
    "extproc.core.endings": (
        "Ending",
        "Spent",
        "ending_of",
    ),
    "extproc.core.errors": (
        "CouldNotDecide",
        "InvalidMutation",
        "InvalidToken",
        "ProviderUnavailable",
        "StoreUnavailable",
    ),
    "extproc.core.flights": ("Flights",),
    "extproc.core.framing": (
        "Framing",
        "Record",
        "event_in",
        "spelled_event",
    ),
    "extproc.core.headers": ("Headers",),
    "extproc.core.lens": (
        "Lens",
        "Memory",
        "NotAdaptable",
    ),
    "extproc.core.limits": (
        "Charge",
        "Counter",
        "CounterState",
        "Hit",
        "Judged",
        "Limit",
        "Per",
        "Settlement",
        "address_subject",
        "holds",
        "is_budget",
    ),
    "extproc.core.message": (
        "Consumer",
        "Request",
        "Response",
    ),
    "extproc.core.models": (
        "BLANK",
        "NamedBy",
        "Pin",
        "is_in_tiers",
    ),
    "extproc.core.metering": (
        "Count",
        "Meter",
    ),
    "extproc.core.names": (
        "API_STATUS",
        "API_VERSION",
        "MODEL_FALLBACK",
        "MODEL_VERSION",
        "model_cluster",
    ),
    "extproc.core.own_answers": (
        "OwnAnswer",
        "OwnStream",
    ),
    "extproc.core.policy": (
        "Authenticator",
        "Context",
        "Phase",
        "Policy",
    ),
    "extproc.core.ports": (
        "ASYMMETRIC",
        "Answer",
        "Call",
        "Clock",
        "CounterStore",
        "Ended",
        "Expression",
        "Fetch",
        "KeySet",
        "KeySets",
        "KeySource",
        "KeyStore",
        "Ports",
        "ShareTable",
        "TokenTally",
    ),
    "extproc.core.query": (
        "Parameter",
        "parameters",
        "parameters_called",
    ),
    "extproc.core.rate_limit": (
        "rate_limit_headers",
        "rate_limited",
    ),
    "extproc.core.remembered": ("Remembered",),
    "extproc.core.reservation": (
        "Reservation",
        "ahead_of",
        "window_end",
    ),
    "extproc.core.rewrite": ("Rewrite",),
    "extproc.core.shares": ("Shares",),
    "extproc.core.specs": (
        "AccessRule",
        "AdaptSpec",
        "AggregateSpec",
        "AuthorizeSpec",
        "ChooseSpec",
        "LimitSpec",
        "ModelsSpec",
        "Version",
        "VersionSpec",
    ),
    "extproc.core.streams": ("BodyEditor",),
    "extproc.core.strict_json": ("loads_strictly",),
    "extproc.core.variables": ("variables",),
    "extproc.core.versions": (
        "ApiVersion",
        "version_refused",
    ),
}
_HOME_OF = {name: module for module, names in HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - held sorted by a test, plainly
    "API_STATUS", "API_VERSION", "ASYMMETRIC", "AccessRule", "AdaptSpec", "AggregateSpec", "Aggregator", "Answer",
    "AnswerCel", "ApiVersion", "Authenticator", "AuthorizeSpec", "BLANK", "BodyEditor", "CONTINUE", "Call",
    "Certificate", "Charge", "ChooseSpec", "Clock", "Condition", "Consumer", "Context", "Continue", "CouldNotDecide",
    "Count", "Counter", "CounterState", "CounterStore", "Decision", "Draw", "Duration", "EditableHeader", "Ended",
    "Ending", "EventCel", "Expression", "Fetch", "File", "FileOrUrl", "Flights", "Framing", "HeaderEdits", "HeaderName",
    "Headers", "Hit", "InvalidMutation", "InvalidToken", "Judged", "KeySet", "KeySets", "KeySource", "KeyStore", "Lens",
    "Limit", "LimitRate", "LimitSpec", "LocalReply", "MODEL_FALLBACK", "MODEL_VERSION", "Memory", "Meter", "ModelsSpec",
    "Name", "NamedBy", "Network", "NotAdaptable", "OwnAnswer", "OwnStream", "Parameter", "Per", "Phase", "Pin",
    "Policy", "Ports", "ProviderUnavailable", "QueryName", "Record", "Remembered", "Request", "RequestCel",
    "Reservation", "Response", "Rewrite", "Scope", "Secret", "Settings", "Settlement", "ShareTable", "Shares", "Size",
    "Spent", "StoreUnavailable", "TokenTally", "Url", "ValueCel", "Version", "VersionSpec", "adapt_body", "adapt_event",
    "address_subject", "ahead_of", "choose", "cookie_names", "cookie_of", "digest", "ending_of", "event_in", "holds",
    "is_among", "is_budget", "is_in_tiers", "is_well_formed", "loads_strictly", "model_cluster", "parameters",
    "parameters_called", "parse_address", "rate_limit_headers", "rate_limited", "read_certificate", "refusal",
    "spelled_event", "variables", "version_refused", "window_end",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: `extproc --help` must not pay for pydantic."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'extproc' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
