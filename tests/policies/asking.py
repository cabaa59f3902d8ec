"""Requests, callers and answers as these tests need them, and the decision that a test expects, unwrapped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from extproc.core.decision import Continue, Decision, LocalReply
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context

ACME: Final = Consumer("acme", "free", ("orders:read",), {"team": "blue"}, "company")
CALLED: Final = Context("orders", ACME)
ANONYMOUS: Final = Context("orders")


def asking(headers: Mapping[str, str] | None = None, **fields: Any) -> Request:
    known: dict[str, Any] = {"method": "GET", "path": "/orders", "address": "192.0.2.7", **fields}
    return Request(headers=Headers.of(headers or {}), **known)


def passed(decision: Decision) -> Continue:
    assert isinstance(decision, Continue), decision
    return decision


def refused(decision: Decision | Consumer) -> tuple[int, str]:
    """The status and the reason, which the body must tell alike."""
    assert isinstance(decision, LocalReply), decision
    problem = json.loads(decision.body)
    assert (problem["status"], problem["reason"]) == (decision.status, decision.reason)
    return decision.status, decision.reason
