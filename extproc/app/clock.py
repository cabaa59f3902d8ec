"""The clock of the machine."""

from __future__ import annotations

import time


class SystemClock:
    def now(self) -> float:
        return time.time()  # noqa: TID251 - the one owner

    def monotonic(self) -> int:
        return time.monotonic_ns()
