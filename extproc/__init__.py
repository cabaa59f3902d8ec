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
        File,
        HeaderName,
        LimitRate,
        Name,
        Secret,
        Settings,
        Size,
        Url,
    )
    from extproc.core.api_key import digest, is_well_formed
    from extproc.core.choice import choose
    from extproc.core.decision import CONTINUE, Continue, Decision, HeaderEdits, LocalReply, refusal
    from extproc.core.errors import CouldNotDecide, InvalidMutation, ProviderUnavailable, StoreUnavailable
    from extproc.core.headers import Headers
    from extproc.core.limits import Charge, Counter, CounterState, Hit, Limit, Per, address_subject
    from extproc.core.message import Consumer, Request, Response
    from extproc.core.names import MODEL_VERSION
    from extproc.core.policy import Authenticator, Context, Phase, Policy
    from extproc.core.ports import (
        Answer,
        Call,
        Clock,
        CounterStore,
        Expression,
        Fetch,
        KeySet,
        KeyStore,
        Ports,
        VerificationKey,
    )
    from extproc.core.rate_limit import rate_limit_headers, rate_limited
    from extproc.core.specs import ChooseSpec, LimitSpec, Version
    from extproc.core.strict_json import loads_strictly
    from extproc.core.variables import variables

HOMES = {
    "extproc.certificates": ("Certificate", "read_certificate"),
    "extproc.config.settings": (
        "AnswerCel",
        "Condition",
        "Duration",
        "EditableHeader",
        "File",
        "HeaderName",
        "LimitRate",
        "Name",
        "Secret",
        "Settings",
        "Size",
        "Url",
    ),
    "extproc.core.api_key": ("digest", "is_well_formed"),
    "extproc.core.choice": ("choose",),
    "extproc.core.decision": ("CONTINUE", "Continue", "Decision", "HeaderEdits", "LocalReply", "refusal"),
    "extproc.core.errors": ("CouldNotDecide", "InvalidMutation", "ProviderUnavailable", "StoreUnavailable"),
    "extproc.core.headers": ("Headers",),
    "extproc.core.limits": ("Charge", "Counter", "CounterState", "Hit", "Limit", "Per", "address_subject"),
    "extproc.core.message": ("Consumer", "Request", "Response"),
    "extproc.core.names": ("MODEL_VERSION",),
    "extproc.core.policy": ("Authenticator", "Context", "Phase", "Policy"),
    "extproc.core.ports": (
        "Answer",
        "Call",
        "Clock",
        "CounterStore",
        "Expression",
        "Fetch",
        "KeySet",
        "KeyStore",
        "Ports",
        "VerificationKey",
    ),
    "extproc.core.rate_limit": ("rate_limit_headers", "rate_limited"),
    "extproc.core.specs": ("ChooseSpec", "LimitSpec", "Version"),
    "extproc.core.strict_json": ("loads_strictly",),
    "extproc.core.variables": ("variables",),
}
_HOME_OF = {name: module for module, names in HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - held sorted by a test, plainly
    "Answer", "AnswerCel", "Authenticator", "CONTINUE", "Call", "Certificate", "Charge", "ChooseSpec", "Clock",
    "Condition", "Consumer", "Context", "Continue", "CouldNotDecide", "Counter", "CounterState", "CounterStore",
    "Decision", "Duration", "EditableHeader", "Expression", "Fetch", "File", "HeaderEdits", "HeaderName", "Headers",
    "Hit", "InvalidMutation", "KeySet", "KeyStore", "Limit", "LimitRate", "LimitSpec", "LocalReply", "MODEL_VERSION",
    "Name", "Per", "Phase", "Policy", "Ports", "ProviderUnavailable", "Request", "Response", "Secret", "Settings",
    "Size", "StoreUnavailable", "Url", "VerificationKey", "Version", "address_subject", "choose", "digest",
    "is_well_formed", "loads_strictly", "rate_limit_headers", "rate_limited", "read_certificate", "refusal",
    "variables",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: `extproc --help` must not pay for pydantic."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'extproc' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
