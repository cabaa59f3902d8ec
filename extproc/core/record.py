"""One decision, as it is written down. Holds no header, query, body or claim: those may carry secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from extproc.core.limits import Judged

NO_FACTS: Final[Mapping[str, str]] = MappingProxyType({})


class Result(StrEnum):
    """How a call ended: `error` is a deny because no decision could be reached. A text, as a label is."""

    ALLOW = "allow"
    DENY = "deny"
    ERROR = "error"


class DecisionRecord(NamedTuple):
    """`policy` is the one that refused or failed; empty for an allow, and where none did: an unknown route, for one.

    `duration` and the steps' times are in nanoseconds; `status` is what the client gets, 0 where the upstream says.

    `judged` is when limits were judged, where they were: what a simulation of another limit needs to know.

    `detail` is for the operator: it names the policy and the kind of failure, never a value from the request.
    """

    service: str
    result: Result
    reason: str
    route: str = ""
    policy: str = ""
    request_id: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    address: str = ""
    consumer: str = ""
    tier: str = ""
    status: int = 0
    duration: int = 0
    detail: str = ""
    facts: Mapping[str, str] = NO_FACTS
    steps: tuple[tuple[str, int], ...] = ()
    judged: Judged | None = None
