"""How bad it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """high: a request gets past a check, or somebody is believed who should not be. medium: it takes one thing more, as
    an outage, a client that tries, or a wire that somebody reads. low: good practice, or a choice to be aware of."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


ORDER: Final = (Severity.HIGH, Severity.MEDIUM, Severity.LOW)


def at_least(severity: Severity, least: Severity) -> bool:
    return ORDER.index(severity) <= ORDER.index(least)
