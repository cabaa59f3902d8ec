"""Real processes for tests: small programs, and how to learn that one has gone without asking again and again."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 20.0

IGNORES_SIGTERM = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""
OBEYS = """
import signal
print("ready", flush=True)
signal.pause()
"""


def parent_of(program: str, *, in_a_session_of_its_own: bool = False) -> str:
    """Obeys, but has started another program, which writes to the same output and so holds it open."""
    return f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {program!r}], start_new_session={in_a_session_of_its_own}).wait()
"""


FLOODS = """
import os
print("ready", flush=True)
while True:
    os.write(1, b"x" * 65536)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@contextmanager
def watched(pid: int) -> Iterator[int]:
    """A handle that stays this process's own, whatever becomes of its number."""
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def has_ended(handle: int, patience: float = PATIENCE) -> bool:
    readable, _, _ = select.select([handle], [], [], patience)
    return bool(readable)
