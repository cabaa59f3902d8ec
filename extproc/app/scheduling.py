"""How the operating system is asked to share out its processors."""

from __future__ import annotations

import contextlib
import os
import sys


def prefer_throughput() -> None:
    """Under SCHED_BATCH (sched(7)) a thread that wakes preempts nobody: gRPC's threads and the event loop's, which wake
    one another several times for each call, finish what they have begun. By default a call is interrupted five times,
    which takes a fifth of its CPU.

    To be asked before the first thread is made, since threads inherit it. Whoever started us under another policy than
    the default meant it; where this one is refused, or unknown, all works as it did.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
