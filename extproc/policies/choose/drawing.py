"""The weighted draw, by the shares of now. What was drawn is remembered until these change: a draw depends on its
subject and on them alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Final

from extproc import ChooseSpec, Consumer, Draw, Shares, ShareTable, Version, is_in_tiers

REMEMBERED: Final = 4096  # consumers of one route; their names are short, while a header may be as long as one likes
Drawn = Callable[[str, str | None], str | None]


class Draws:
    """Of one model. A caller's tier counts only where some version is not for everybody."""

    def __init__(self, spec: ChooseSpec, shares: ShareTable) -> None:
        self._spec = spec
        self._shares = shares
        self._restricted = any(version.tiers for version in spec.versions)
        self._generation: int | None = None
        self._draw_by(None)

    def of(self, subject: str, consumer: Consumer | None, *, remembered: bool) -> str | None:
        """The version's name; None where none that this caller may have has a share."""
        shares = self._shares.of(self._spec.model)
        if (shares and shares.generation) != self._generation:
            self._draw_by(shares)
        tier = consumer.tier if self._restricted and consumer is not None else None
        return self._remembered(subject, tier) if remembered else self._drawn(subject, tier)

    def _draw_by(self, shares: Shares | None) -> None:
        spec = self._spec
        versions = shares.applied_to(spec.versions) if shares else spec.versions
        salt = spec.salt or spec.model
        # Of the tiers that versions name, and of all others.
        named = {None, *(tier for version in versions for tier in version.tiers)}
        draws = {tier: Draw(salt, _allowed(versions, tier)) for tier in named}

        def drawn(subject: str, tier: str | None) -> str | None:
            draw = draws.get(tier) or draws[None]
            version = draw.of(subject)
            return None if version is None else version.name

        self._generation = shares.generation if shares else None
        self._drawn: Drawn = drawn
        self._remembered: Drawn = functools.lru_cache(REMEMBERED)(drawn)


def _allowed(versions: Iterable[Version], tier: str | None) -> list[Version]:
    return [version for version in versions if is_in_tiers(Consumer("", tier), version.tiers)]
