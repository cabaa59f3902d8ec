"""How a rollout is written down, and read again: whatever is there and is none is never taken for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from extproc.core.errors import StoreUnavailable
from extproc.core.guard import Trial
from extproc.core.rollout import WHOLE, Change, Rollout

MOST_CHANGES: Final = 200  # of each model: what happened last is what is looked for
LONGEST_LINE: Final = 64 * 1024  # characters of one record
T = TypeVar("T")


class RolloutStore(Protocol):
    """Where rollouts are kept, for all sidecars that share it. Every method raises StoreUnavailable where it cannot be
    asked, or what is there cannot be read."""

    async def read(self) -> Mapping[str, Rollout]:
        """Of each model of which something is kept."""

    async def change(self, rollout: Rollout, change: Change | None, expected: int, *, leading: bool) -> bool:
        """Only where the generation that is kept is the expected one, 0 where nothing is, and where `leading`, while
        this store still leads. False: nothing was done, for somebody else was quicker."""

    async def history(self, model: str) -> Sequence[Change]:
        """The last ones first."""

    async def trial(self, model: str) -> Trial | None: ...

    async def keep(self, model: str, trial: Trial) -> bool:
        """What the leader's tests know. False where it leads no longer."""

    async def lead(self) -> bool:
        """Take the lead where nobody has it, or go on with it."""

    async def give_up(self) -> None:
        """Leave the lead to somebody else, at once."""

    async def tend(self) -> None:
        """Runs until it is cancelled."""

    async def close(self) -> None:
        """Gives up the lead as well, so that nobody waits for it."""


ROLLOUT: Final[TypeAdapter[Rollout]] = TypeAdapter(Rollout)
CHANGE: Final[TypeAdapter[Change]] = TypeAdapter(Change)
TRIAL: Final[TypeAdapter[Trial]] = TypeAdapter(Trial)


def written(value: Rollout | Change | Trial) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = (
        ROLLOUT if isinstance(value, Rollout) else CHANGE if isinstance(value, Change) else TRIAL
    )
    dumped: dict[str, Any] = adapter.dump_python(value, mode="json")
    return dumped


def line(value: Rollout | Change | Trial) -> bytes:
    return orjson.dumps(written(value))


def read_rollout(value: object) -> Rollout:
    rollout = _read(ROLLOUT, value)
    if sum(rollout.shares.values()) != WHOLE or min(rollout.shares.values()) < 0:
        raise StoreUnavailable("rollouts: what is kept of a model has shares that do not add up")
    return rollout


def read_change(value: object) -> Change:
    return _read(CHANGE, value)


def read_trial(value: object) -> Trial:
    return _read(TRIAL, value)


def _read(adapter: TypeAdapter[T], value: object) -> T:
    try:
        return adapter.validate_json(value) if isinstance(value, bytes) else adapter.validate_python(value)
    except ValidationError:
        raise StoreUnavailable("rollouts: what is kept cannot be read") from None
