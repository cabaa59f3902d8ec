"""The files of envoyproxy/ratelimit that are in force, read again when they change.

They are looked at, rather than waited for: a notification knows of a file or a folder, and not of a link on the way to
it that leads elsewhere now, which is how a ConfigMap, and whoever swaps whole folders, changes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from extproc.config.ratelimit_folder import LoadedLimits, Stamp, load_limits, stamp
from extproc.core.errors import RefusedLimits

POLL: Final = 0.25  # seconds; what was changed is in force after two or three of them
LoadFolder = Callable[[], LoadedLimits]


class LimitFiles:
    """`loaded` and `refused` hear of every load but the first one, which the caller makes."""

    def __init__(
        self,
        folder: Path,
        *,
        merge: bool,
        loaded: Callable[[LoadedLimits], Any],
        refused: Callable[[RefusedLimits], Any],
    ) -> None:
        self._folder = folder
        self._merge = merge
        self._tell_loaded = loaded
        self._tell_refused = refused
        self._read: Stamp = ()
        self._seen: Stamp = ()
        self.current: LoadedLimits | None = None

    def load(self) -> LoadedLimits:
        """Raises RefusedLimits; what was in force before stays."""
        self._read = self._seen = stamp(self._folder)
        loaded = load_limits(self._folder, merge=self._merge)
        self.current = loaded
        return loaded

    async def tend(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            await self.look()

    async def look(self) -> None:
        """Reads what has changed, once it has stopped changing: a file that is half written may well be valid."""
        seen = await asyncio.to_thread(stamp, self._folder)
        settled, self._seen = seen == self._seen, seen
        if seen == self._read or not settled:
            return
        try:
            loaded = await asyncio.to_thread(self.load)
        except RefusedLimits as error:
            self._tell_refused(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, those in force are better than none
            self._tell_refused(RefusedLimits(str(self._folder), f"cannot be read: {type(error).__name__}"))
        else:
            self._tell_loaded(loaded)
