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
    from extproc.core.errors import CouldNotDecide, InvalidMutation, InvalidToken, ProviderUnavailable, StoreUnavailable
    from extproc.core.flights import Flights
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
    )
    from extproc.core.message import Consumer, Request, Response
    from extproc.core.models import BLANK, NamedBy, Pin, is_in_tiers
    from extproc.core.names import API_STATUS, API_VERSION, MODEL_VERSION, model_cluster
    from extproc.core.own_answers import OwnAnswer, OwnStream
    from extproc.core.policy import Authenticator, Context, Phase, Policy
    from extproc.core.ports import (
        ASYMMETRIC,
        Answer,
        Call,
        Clock,
        CounterStore,
        Expression,
        Fetch,
        KeySet,
        KeySets,
        KeySource,
        KeyStore,
        Ports,
        ShareTable,
    )
    from extproc.core.query import Parameter, parameters, parameters_called
    from extproc.core.rate_limit import rate_limit_headers, rate_limited
    from extproc.core.remembered import Remembered
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
    "extproc.core.errors": (
        "CouldNotDecide",
        "InvalidMutation",
        "InvalidToken",
        "ProviderUnavailable",
        "StoreUnavailable",
    ),
    "extproc.core.flights": ("Flights",),
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
    "extproc.core.names": (
        "API_STATUS",
        "API_VERSION",
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
        "Expression",
        "Fetch",
        "KeySet",
        "KeySets",
        "KeySource",
        "KeyStore",
        "Ports",
        "ShareTable",
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
    "AnswerCel", "ApiVersion", "Authenticator", "AuthorizeSpec", "BodyEditor", "CONTINUE", "Call", "Certificate",
    "Charge", "ChooseSpec", "Clock", "Condition", "Consumer", "Context", "Continue", "CouldNotDecide", "Counter",
    "CounterState", "CounterStore", "Decision", "Duration", "EditableHeader", "EventCel", "Expression", "Fetch", "File",
    "FileOrUrl", "Flights", "HeaderEdits", "HeaderName", "Headers", "Hit", "InvalidMutation", "InvalidToken", "Judged",
    "KeySet", "KeySets", "KeySource", "KeyStore", "Lens", "Limit", "LimitRate", "LimitSpec", "LocalReply",
    "MODEL_VERSION", "Memory", "Name", "Network", "NotAdaptable", "OwnAnswer", "OwnStream", "Parameter", "Per", "Phase",
    "Policy", "Ports", "ProviderUnavailable", "QueryName", "Remembered", "Request", "RequestCel", "Response", "Rewrite",
    "Scope", "Secret", "Settings", "Settlement", "ShareTable", "Shares", "Size", "StoreUnavailable", "Url", "ValueCel",
    "Version", "VersionSpec", "adapt_body", "adapt_event", "address_subject", "choose", "cookie_names", "cookie_of",
    "digest", "holds", "is_among", "is_well_formed", "loads_strictly", "parameters", "parameters_called",
    "parse_address", "rate_limit_headers", "rate_limited", "read_certificate", "refusal", "variables",
    "version_refused",
    "BLANK", "Draw", "ModelsSpec", "NamedBy", "Pin", "is_in_tiers", "model_cluster",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: `extproc --help` must not pay for pydantic."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'extproc' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
