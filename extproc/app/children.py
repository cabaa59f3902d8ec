"""Processes that we start and end: each in a session of its own, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

TERM_TIMEOUT: Final = 3.0  # everything must be gone 5 s after a signal
KILL_TIMEOUT: Final = 1.0
CHUNK: Final = 65_536
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
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        piped: bool = False,
        given: str | None = None,
    ) -> Child:
        """Start a process whose output goes to `log`; with `piped`, its standard output comes to us instead.

        `given` is what it finds on its standard input.
        """
        with contextlib.ExitStack() as stack, _holding(given) as read:
            output = stack.enter_context(log.open("wb"))
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                stdin=read,
                stdout=asyncio.subprocess.PIPE if piped else output,
                stderr=output,
                start_new_session=True,  # a terminal's SIGINT reaches us alone; we end the others in order
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
            stack.pop_all()  # from here on the child's, and closed when it is stopped
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
        """Ask all at once, then end what is left: a child that obeyed may have started one that does not."""
        for number, patience in ((signal.SIGTERM, TERM_TIMEOUT), (signal.SIGKILL, KILL_TIMEOUT)):
            for child in self.running:
                _signal(child, number)
            await _ended(self.running, patience)
        for child in self.running:
            if child.log is not None:
                child.log.close()
        self.running.clear()


@contextlib.contextmanager
def _holding(text: str | None) -> Iterator[IO[bytes] | int]:
    """A file that nobody else sees: a pipe would have to be written while the child reads."""
    if text is None:
        yield asyncio.subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


async def _ended(children: Sequence[Child], patience: float) -> None:
    """Wait until all have ended, but never without end: whoever left its session may hold a pipe open."""
    ends = [asyncio.ensure_future(_end(child)) for child in children]
    if ends:
        await asyncio.wait(ends, timeout=patience)
    for end in ends:
        end.cancel()
    await asyncio.gather(*ends, return_exceptions=True)


async def _end(child: Child) -> None:
    """asyncio tells of an exit only when the child's pipe has been read to its end."""
    while child.process.stdout is not None and await child.process.stdout.read(CHUNK):
        pass
    await child.process.wait()


def _signal(child: Child, number: signal.Signals) -> None:
    """To the child's whole session, so that nothing it started stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, number)


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Runs in the child before exec: if we are killed outright, the kernel ends the child too (prctl(2))."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
