"""Which store keeps rollouts, made of what the gateway file says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from extproc.core.ports import Events
from extproc.stores.redis_connection import RedisConnection
from extproc.stores.rollout_entry import RolloutStore
from extproc.stores.rollout_file import RolloutFile
from extproc.stores.rollout_redis import RedisRollouts

ROLLOUTS: Final = "rollouts"  # the store's name in events and in what is said of it
TIMEOUT: Final = 0.5  # seconds for each step: a leader that waits longer loses its lease


def open_rollouts(located: str, events: Events) -> RolloutStore:
    """Nothing is opened or read yet."""
    if located.startswith("/"):
        return RolloutFile(Path(located))
    return RedisRollouts(RedisConnection(located, ROLLOUTS, events, TIMEOUT))
