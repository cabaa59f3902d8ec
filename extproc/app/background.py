"""The decision log, written by a thread: neither making a line nor its reader can stop a decision."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

WAITING: Final = 10_000  # lines, those under way included; more are dropped, and counted
BATCH: Final = 100  # made at once: whoever decides must not wait long for the interpreter
LINGER: Final = 0.05  # seconds in which lines gather: many made in a row cost half of what each alone would
CLOSE_TIMEOUT: Final = 1.0
Line = Callable[[], str]


class BackgroundLog:
    """Takes lines that are still to be made. A reader that stalls or goes away costs lines, and no more."""

    def __init__(self, stream: TextIO, on_drop: Callable[[], object] = lambda: None) -> None:
        """`on_drop` is called for each line that is lost, in the thread that loses it."""
        self._stream = stream
        self._on_drop = on_drop
        self._lines: deque[Line] = deque()
        self._dropped = 0
        self._some = threading.Event()
        self._closing = threading.Event()
        # A daemon: a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._drain, name="decision-log", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        if len(self._lines) < WAITING:
            self._lines.append(line)
        else:
            self._lost(1)
        if not self._some.is_set():
            self._some.set()

    def close(self) -> None:
        """Write what is waiting, as far as that goes in a second."""
        self._closing.set()
        self._some.set()
        self._thread.join(CLOSE_TIMEOUT)

    def _drain(self) -> None:
        while not self._closing.is_set() or self._lines:
            self._some.wait()
            self._closing.wait(LINGER)
            self._some.clear()
            while self._lines:
                self._write_some()

    def _write_some(self) -> None:
        """Lines leave the queue when they are written, so that its bound is the bound."""
        # By index: an iterator over a queue that is added to in between raises, and would end the thread.
        lines = [self._lines[place] for place in range(min(BATCH, len(self._lines)))]
        dropped, self._dropped = self._dropped, 0
        told = f'{{"event": "dropped", "lines": {dropped}}}\n' if dropped else ""
        try:
            self._stream.write(told + "".join(map(_made, lines)))
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more
            self._dropped += dropped
            self._lost(len(lines))
        for _ in lines:
            self._lines.popleft()

    def _lost(self, lines: int) -> None:
        self._dropped += lines
        for _ in range(lines):
            self._on_drop()


def _made(line: Line) -> str:
    """What a policy put into a record may fail to become text; the others are written all the same."""
    try:
        return line()
    except Exception as error:  # noqa: BLE001 - whatever it is, the thread goes on
        return f'{{"event": "unwritable", "error": "{type(error).__name__}"}}\n'
