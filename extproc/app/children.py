"""Processes that we start and end: each in a session of its own, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

TERM_TIMEOUT: Final = 3.0  # everything must be gone 5 s after a signal
PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True)
class Child:
    name: str
    process: asyncio.subprocess.Process
    log: IO[bytes] | None = None


@dataclass(slots=True)
class Children:
    """Owns every process of a run."""

    running: list[Child] = field(default_factory=list)

    async def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, *, piped: bool = False
    ) -> Child:
        """Start a process whose output goes to `log`; with `piped`, its standard output comes to us instead."""
        output = log.open("wb")
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if piped else output,
            stderr=output,
            start_new_session=True,  # a terminal's SIGINT reaches us alone; we end the others in order
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        child = Child(name, process, output)
        self.running.append(child)
        return child

    async def first_exit(self) -> Child:
        """The first child that ends by itself."""
        waiting = {asyncio.ensure_future(child.process.wait()): child for child in self.running}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return waiting[next(iter(done))]
        finally:
            for task in waiting:
                task.cancel()

    async def stop(self) -> None:
        """Ask all at once, then end what is left."""
        for child in self.running:
            _signal(child, signal.SIGTERM)
        waits = [asyncio.ensure_future(child.process.wait()) for child in self.running]
        if waits:
            await asyncio.wait(waits, timeout=TERM_TIMEOUT)
        for child in self.running:
            if child.process.returncode is None:
                _signal(child, signal.SIGKILL)
        await asyncio.gather(*waits)
        for child in self.running:
            if child.log is not None:
                child.log.close()
        self.running.clear()


def _signal(child: Child, number: signal.Signals) -> None:
    """To the child's whole session, so that nothing it started stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Runs in the child before exec: if we are killed outright, the kernel ends the child too (prctl(2))."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
