"""The clock of the machine."""

from __future__ import annotations

import time


class SystemClock:
    now = staticmethod(time.time)  # noqa: TID251 - the one owner
    monotonic = staticmethod(time.monotonic_ns)  # asked a dozen times for each request
