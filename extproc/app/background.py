"""A stream that never makes its writer wait: the decision log must not be able to stop decisions."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Final, TextIO

WAITING: Final = 10_000  # lines; more are dropped, and counted
CLOSE_TIMEOUT: Final = 1.0


class BackgroundStream:
    """A text stream to whoever writes lines to it. A reader that stalls or goes away costs lines, and no more."""

    def __init__(self, stream: TextIO, on_drop: Callable[[], object] = lambda: None) -> None:
        """`on_drop` is called for each line that is lost, in the thread that loses it."""
        self._stream = stream
        self._on_drop = on_drop
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._dropped = 0
        # A daemon: a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._drain, name="decision-log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1
            self._on_drop()
        return len(text)

    def flush(self) -> None:
        """Each line is flushed where it is written."""

    def close(self) -> None:
        """Write what is waiting, as far as that goes in a second."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(CLOSE_TIMEOUT)

    def _drain(self) -> None:
        while (text := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            try:
                if dropped:
                    self._stream.write(f'{{"event": "dropped", "lines": {dropped}}}\n')
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                self._dropped += dropped + 1
                self._on_drop()
