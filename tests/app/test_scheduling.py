"""How the sidecar asks to be scheduled; in processes of their own, whose policy is theirs to change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.processes import PATIENCE
from tests.app.sidecars import Sidecar

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")

ASKS = """
import os
from extproc.app.scheduling import prefer_throughput
{before}
prefer_throughput()
print(os.sched_getscheduler(0))
"""
REFUSES = """
def refuse(*_): raise PermissionError
os.sched_setscheduler = refuse
"""


def policy_after(before: str) -> int:
    program = ASKS.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=True)
    return int(done.stdout)


def test_every_thread_of_a_sidecar_is_one_that_preempts_nobody(tmp_path: Path) -> None:
    with Sidecar(tmp_path) as sidecar:
        sidecar.until_ready()
        threads = [int(thread.name) for thread in Path(f"/proc/{sidecar.process.pid}/task").iterdir()]
        assert len(threads) > 1
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


def test_a_policy_that_was_chosen_for_it_stays() -> None:
    assert policy_after("os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))") == os.SCHED_IDLE


def test_where_it_is_refused_all_goes_on() -> None:
    assert policy_after(REFUSES) == os.sched_getscheduler(0)
