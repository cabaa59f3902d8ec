"""Processes are started apart and ended for certain."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from extproc.app import children as module
from extproc.app.children import Child, Children
from tests.app.processes import (
    FLOODS,
    IGNORES_SIGTERM,
    OBEYS,
    has_ended,
    parent_of,
    python,
    watched,
)


@pytest.fixture
async def children(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Children]:
    monkeypatch.setattr(module, "TERM_TIMEOUT", 0.5)
    monkeypatch.setattr(module, "KILL_TIMEOUT", 0.5)
    owned = Children()
    yield owned
    await asyncio.wait_for(owned.stop(), 20)


async def start(children: Children, program: str, folder: Path, name: str = "child") -> tuple[Child, str]:
    """A child that has said its first line."""
    child = await children.start(name, python(program), os.environ, folder / f"{name}.log", piped=True)  # noqa: TID251
    assert child.process.stdout is not None
    line = await asyncio.wait_for(child.process.stdout.readline(), 20)
    return child, line.decode().strip()


async def stop(children: Children) -> None:
    await asyncio.wait_for(children.stop(), 20)


async def test_a_child_is_in_a_session_of_its_own(children: Children, tmp_path: Path) -> None:
    child, _ = await start(children, OBEYS, tmp_path)
    assert os.getsid(child.process.pid) == os.getpgid(child.process.pid) == child.process.pid
    assert os.getsid(0) != child.process.pid


async def test_a_child_that_obeys_is_asked_and_not_killed(children: Children, tmp_path: Path) -> None:
    child, _ = await start(children, OBEYS, tmp_path)
    await stop(children)
    assert child.process.returncode == -signal.SIGTERM
    assert children.running == []


async def test_a_child_that_ignores_the_asking_is_killed(children: Children, tmp_path: Path) -> None:
    stubborn, _ = await start(children, IGNORES_SIGTERM, tmp_path, "stubborn")
    obedient, _ = await start(children, OBEYS, tmp_path, "obedient")
    await stop(children)
    assert stubborn.process.returncode == -signal.SIGKILL
    assert obedient.process.returncode == -signal.SIGTERM


async def test_what_an_obedient_child_started_does_not_outlive_it(children: Children, tmp_path: Path) -> None:
    child, grandchild = await start(children, parent_of(IGNORES_SIGTERM), tmp_path)
    with watched(int(grandchild)) as handle:
        await stop(children)
        assert child.process.returncode == -signal.SIGTERM
        assert has_ended(handle)


async def test_what_a_dead_child_started_does_not_outlive_the_run(children: Children, tmp_path: Path) -> None:
    child, grandchild = await start(children, parent_of(IGNORES_SIGTERM), tmp_path)
    with watched(int(grandchild)) as handle, watched(child.process.pid) as parent:
        child.process.kill()
        assert has_ended(parent)
        await stop(children)
        assert has_ended(handle)


async def test_who_has_left_the_session_and_holds_the_output_does_not_hold_up_the_stop(
    children: Children, tmp_path: Path
) -> None:
    program = parent_of(IGNORES_SIGTERM, in_a_session_of_its_own=True)
    child, stranger = await start(children, program, tmp_path)
    await stop(children)
    assert child.process.returncode == -signal.SIGTERM
    assert child.process.stdout is not None
    os.kill(int(stranger), signal.SIGKILL)
    await asyncio.wait_for(child.process.stdout.read(), 20)  # to its end, so that the pipe is closed
    await child.process.wait()


async def test_a_child_whose_output_nobody_reads_is_stopped_all_the_same(children: Children, tmp_path: Path) -> None:
    child, _ = await start(children, FLOODS, tmp_path)
    await stop(children)
    assert child.process.returncode == -signal.SIGTERM


async def test_stopping_nothing_and_stopping_twice_do_nothing(children: Children, tmp_path: Path) -> None:
    await stop(children)
    await start(children, OBEYS, tmp_path)
    await stop(children)
    await stop(children)


async def test_the_first_to_end_by_itself_is_told(children: Children, tmp_path: Path) -> None:
    await start(children, OBEYS, tmp_path, "stays")
    goes = await children.start("goes", python("raise SystemExit(7)"), os.environ, tmp_path / "goes.log")  # noqa: TID251
    ended = await asyncio.wait_for(children.first_exit(), 20)
    assert ended is goes
    assert ended.process.returncode == 7


async def test_the_output_of_a_child_is_in_its_log(children: Children, tmp_path: Path) -> None:
    program = "import sys, os; print(sorted(os.environ)); sys.stderr.write('oops')"
    log = tmp_path / "child.log"
    await children.start("child", python(program), {"ONLY": "this"}, log)
    await asyncio.wait_for(children.first_exit(), 20)
    assert "'ONLY'" in log.read_text()
    assert "'PATH'" not in log.read_text()
    assert "oops" in log.read_text()


async def test_a_piped_childs_errors_are_in_its_log(children: Children, tmp_path: Path) -> None:
    program = "import sys; sys.stderr.write('oops'); sys.stderr.flush(); print('ready')"
    _, line = await start(children, program, tmp_path)
    assert (line, (tmp_path / "child.log").read_text()) == ("ready", "oops")


async def test_a_program_that_is_not_there_leaves_nothing_open(children: Children, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await children.start("none", [str(tmp_path / "none")], {}, tmp_path / "none.log")
    assert children.running == []
    gc.collect()  # an open log would be a ResourceWarning, which is an error here


OWNER = f"""
import asyncio, os, pathlib
from extproc.app.children import Children

async def main():
    child = await Children().start("child", {python(OBEYS)!r}, os.environ, pathlib.Path(os.devnull), piped=True)
    await child.process.stdout.readline()
    print(child.process.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_children_do_not_outlive_an_owner_that_is_killed_outright() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        with watched(child) as handle:
            assert not has_ended(handle, patience=0)
            owner.kill()
            assert has_ended(handle)


async def test_a_child_finds_what_it_is_given_on_its_standard_input(children: Children, tmp_path: Path) -> None:
    program = python("import sys; print(len(sys.stdin.read()), flush=True)")
    given = "é" * 100_000  # more than a pipe holds
    child = await children.start("child", program, os.environ, tmp_path / "log", piped=True, given=given)  # noqa: TID251
    assert child.process.stdout is not None
    assert await asyncio.wait_for(child.process.stdout.readline(), 20) == b"100000\n"
