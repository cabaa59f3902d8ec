"""The versions of an API: which are on their way out, what their answers say of it, and when they are gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum

from extproc.core.decision import LocalReply, refusal

SUNSET = "version_sunset"
BROWN_OUT = "version_brown_out"
GONE = 410


class Status(StrEnum):
    CURRENT = "current"
    DEPRECATED = "deprecated"
    SUNSET = "sunset"


@dataclass(frozen=True, slots=True)
class BrownOut:
    """A rehearsal of the end, in seconds since the epoch: from `start` on, and no more at `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """Moments are seconds since the epoch. `documentation` and `sunset_policy` are for people; `successor` names the
    version to go to."""

    name: str
    status: Status = Status.CURRENT
    deprecated: int | None = None
    sunset: int | None = None
    successor: str = ""
    documentation: str = ""
    sunset_policy: str = ""
    brown_outs: tuple[BrownOut, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether there is a moment at which requests are refused, so that each must be asked about."""
        return self.status is Status.SUNSET or self.sunset is not None or bool(self.brown_outs)

    def gone(self, now: float) -> str:
        """The reason for which a request is refused at this moment; empty where it is served."""
        if self.status is Status.SUNSET or (self.sunset is not None and now >= self.sunset):
            return SUNSET
        return BROWN_OUT if any(one.start <= now < one.end for one in self.brown_outs) else ""


def spell_moment(moment: int) -> str:
    """As it is written in gateway.yaml."""
    spelled = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return spelled.removesuffix("T00:00:00Z")


def fields_of(version: ApiVersion, successor_at: str = "") -> tuple[tuple[str, str], ...]:
    """What every answer of the version says. They do not depend on the time, so Envoy says them itself.

    Deprecation is a structured date, also one to come (RFC 9745 §2.1); Sunset is an HTTP-date (RFC 8594 §3).
    """
    fields = []
    if version.deprecated is not None:
        fields.append(("deprecation", f"@{version.deprecated}"))
    if version.sunset is not None:
        fields.append(("sunset", format_datetime(datetime.fromtimestamp(version.sunset, UTC), usegmt=True)))
    links = (
        (version.documentation, "deprecation"),  # RFC 9745 §3
        (version.sunset_policy, "sunset"),  # RFC 8594 §6
        (successor_at, "successor-version"),  # RFC 5829 §3.4
    )
    said = ", ".join(f'<{target}>; rel="{relation}"' for target, relation in links if target)
    return (*fields, ("link", said)) if said else tuple(fields)


def version_refused(version: ApiVersion, reason: str, successor_at: str = "") -> LocalReply:
    """410 with the same fields as an answer, and where to go instead."""
    instead = {"successor": version.successor} if version.successor else {}
    place = {"successor_at": successor_at} if successor_at else {}
    said = "is gone" if reason == SUNSET else "is switched off for a while, because it will soon be gone"
    then = f"; use {version.successor}" if version.successor else ""
    detail = f"version {version.name} of this API {said}{then}"
    fields = dict(fields_of(version, successor_at))
    return refusal(GONE, reason, detail, headers=fields, version=version.name, **instead, **place)
