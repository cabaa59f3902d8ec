"""Which share of the callers each version of a model has now, where that is not what the file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from extproc.core.specs import Version


@dataclass(frozen=True, slots=True)
class Shares:
    """`weights` by the versions' names, in hundredths of a percent; a version that is not named has none. `generation`
    is another number whenever the weights are other ones: what was drawn by earlier ones counts no longer."""

    generation: int
    weights: Mapping[str, int]

    def applied_to(self, versions: Iterable[Version]) -> tuple[Version, ...]:
        return tuple(replace(version, weight=self.weights.get(version.name, 0)) for version in versions)


class AsWritten:
    """Every model's shares are what the file says."""

    def of(self, model: str) -> Shares | None:
        return None


AS_WRITTEN: Final = AsWritten()
