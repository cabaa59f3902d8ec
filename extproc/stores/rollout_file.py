"""Rollouts on disk, for one sidecar: a restart goes on where it was. Another process on the same file follows."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from extproc.core.errors import StoreUnavailable
from extproc.core.guard import Trial
from extproc.core.rollout import Change, Rollout
from extproc.stores.rollout_entry import MOST_CHANGES, read_change, read_rollout, read_trial, written
from extproc.stores.whole_file import locked, open_lock, replace_whole, taken

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
PARTS: Final = ("rollouts", "trials", "history")
Document = dict[str, dict[str, Any]]
T = TypeVar("T")


class RolloutFile:
    """Whoever holds the lock beside the file leads; the kernel gives it back when a process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = Path(os.path.realpath(file))
        self._lead: int | None = None
        self._leads = False
        self._seen: tuple[int, int, int] | None = None
        self._known: Mapping[str, Rollout] = {}

    async def read(self) -> Mapping[str, Rollout]:
        return await self._ask(self._read)

    async def change(self, rollout: Rollout, change: Change | None, expected: int, *, leading: bool) -> bool:
        if leading and not self._leads:
            return False

        def changed(document: Document) -> bool:
            there = document["rollouts"].get(rollout.model)
            if (read_rollout(there).generation if there is not None else 0) != expected:
                return False
            document["rollouts"][rollout.model] = written(rollout)
            if change is not None:
                told = document["history"].setdefault(rollout.model, [])
                document["history"][rollout.model] = [written(change), *told][:MOST_CHANGES]
            return True

        return await self._ask(lambda: self._change(changed))

    async def history(self, model: str) -> Sequence[Change]:
        return await self._ask(lambda: [read_change(one) for one in self._document()["history"].get(model, [])])

    async def trial(self, model: str) -> Trial | None:
        there = await self._ask(lambda: self._document()["trials"].get(model))
        return read_trial(there) if there is not None else None

    async def keep(self, model: str, trial: Trial) -> bool:
        def kept(document: Document) -> bool:
            document["trials"][model] = written(trial)
            return True

        return self._leads and await self._ask(lambda: self._change(kept))

    async def lead(self) -> bool:
        if not self._leads:
            self._leads = await self._ask(self._take)
        return self._leads

    async def tend(self) -> None:
        """There is nothing to look after."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        await self.give_up()

    async def give_up(self) -> None:
        self._leads = False
        if self._lead is not None:
            os.close(self._lead)
            self._lead = None

    def _take(self) -> bool:
        if self._lead is None:
            self._lead = open_lock(self._file, "leader")
        return taken(self._lead)

    def _read(self) -> Mapping[str, Rollout]:
        seen = self._stat()
        if seen is None or seen != self._seen:
            self._known = {model: read_rollout(one) for model, one in self._document()["rollouts"].items()}
            self._seen = seen
        return self._known

    def _stat(self) -> tuple[int, int, int] | None:
        """A file that is replaced by rename is another one, whatever its times say."""
        with contextlib.suppress(FileNotFoundError):
            found = self._file.stat()
            return found.st_ino, found.st_mtime_ns, found.st_size
        return None

    def _change(self, change: Callable[[Document], bool]) -> bool:
        with locked(self._file):
            there = self._file.exists()
            document = self._document()
            done = change(document)
            if done:
                text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
                replace_whole(self._file, text + "\n", self._file.stat() if there else None)
            return done

    def _document(self) -> Document:
        """A file that is not there has nothing in it."""
        try:
            with self._file.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            document = orjson.loads(content)
        except FileNotFoundError:
            document = {}
        except ValueError:
            raise StoreUnavailable(f"rollouts: {self._file} is no file of rollouts") from None
        whole = isinstance(document, dict) and all(isinstance(document.get(part, {}), dict) for part in PARTS)
        if not whole:
            raise StoreUnavailable(f"rollouts: {self._file} is no file of rollouts")
        return {part: document.get(part, {}) for part in PARTS}

    async def _ask(self, question: Callable[[], T]) -> T:
        """In a thread, and whole even where whoever asked is gone."""
        try:
            return await asyncio.shield(asyncio.to_thread(question))
        except OSError as error:
            said = error.strerror or str(error)
            raise StoreUnavailable(f"rollouts: {self._file} cannot be used: {said}") from None
