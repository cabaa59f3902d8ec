"""How a model's versions are chosen between, and what stands by when one fails: plain settings, without their YAML."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from extproc.core.message import Consumer

BLANK: Final = "{model}"  # the segment of a path template that is the model's name


class NamedBy(Enum):
    """Where a request says which model it asks for."""

    ROUTE = "route"
    BODY = "body"
    HEADER = "header"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Pin:
    """A header in which consumers of these tiers name the version that they want."""

    header: str
    tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cohort:
    """Whoever `when` (CEL) holds for gets this version."""

    when: str
    version: str


@dataclass(frozen=True, slots=True)
class Compare:
    """What of two answers must be alike, as CEL by name. `timeout` in seconds, for each answer."""

    fields: tuple[tuple[str, str], ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """The version that gets a copy of some requests, and whose answers nobody gets. `share` in hundredths of a
    percent."""

    version: str
    share: int
    compare: Compare | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """The versions that answer in place of one that does not, in their order: `tries` of them at most, each for
    `timeout` seconds, and `budget` at once."""

    to: tuple[str, ...]
    tries: int
    budget: int
    timeout: float | None = None

    def order(self, first: str) -> tuple[str, ...]:
        """Who is asked for a caller of this version, one after the other."""
        return (first, *(version for version in self.to if version != first))


def is_in_tiers(consumer: Consumer | None, tiers: Collection[str]) -> bool:
    """Whether a list of tiers lets a caller in: an empty one everybody, any other nobody without a tier."""
    return not tiers or (consumer is not None and consumer.tier is not None and consumer.tier in tiers)
