"""`extproc up` as a process: how it ends, and what it will not start with."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extproc.app.ports import busy
from extproc.plan.model import Endpoint
from tests.e2e.demo_gateway import (
    ROOT,
    STOP_TIMEOUT,
    Demo,
    command,
    descendants,
    end,
    is_running,
    spawn,
    wait_ready,
    wait_until,
)
from tests.free_ports import free_port

pytestmark = pytest.mark.e2e
CHILDREN = 7  # five upstreams, the sidecar, Envoy
Spawn = Callable[[Path], Demo]


@pytest.fixture
def start() -> Iterator[Spawn]:
    """Starts what a test asks for, and ends what a failed test has left."""
    started: list[Demo] = []

    def spawned(folder: Path) -> Demo:
        started.append(spawn(folder))
        return started[-1]

    yield spawned
    for demo in started:
        demo.process.kill()
        demo.process.wait(STOP_TIMEOUT)
        if (demo.folder / ".extproc" / "bootstrap.yaml").exists():
            shutil.rmtree(sockets_of(demo), ignore_errors=True)  # who is killed outright cannot clean up


def assert_nothing_is_left(demo: Demo, below: list[int], sockets: str) -> None:
    assert not [pid for pid in below if is_running(pid)]
    assert not busy(Endpoint("127.0.0.1", port) for port in demo.ports)
    assert not Path(sockets).exists()


def sockets_of(demo: Demo) -> str:
    """The folder that the bootstrap names."""
    text = (demo.folder / ".extproc" / "bootstrap.yaml").read_text()
    pipe = text.index("pipe:")
    return str(Path(text[pipe:].split('"', 2)[1]).parent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything_soon_and_leaves_nothing(start: Spawn, tmp_path: Path, number: signal.Signals) -> None:
    demo = wait_ready(start(tmp_path))
    below, sockets = descendants(demo.process.pid), sockets_of(demo)
    assert len(below) == CHILDREN
    assert Path(sockets).is_dir()
    started = time.monotonic()
    status = end(demo, number)
    assert time.monotonic() - started < STOP_TIMEOUT
    assert status == 0, demo.output
    assert_nothing_is_left(demo, below, sockets)
    assert "Traceback" not in demo.output


def test_a_signal_during_the_start_ends_it_too(start: Spawn, tmp_path: Path) -> None:
    demo = start(tmp_path)
    wait_until(lambda: "making a signing key" in demo.output or demo.process.poll() is not None, 30)
    below = descendants(demo.process.pid)
    assert end(demo) == 0, demo.output
    wait_until(lambda: not [pid for pid in below if is_running(pid)], STOP_TIMEOUT)
    assert not (tmp_path / ".extproc" / "demo.env").exists()


def test_sigint_reaches_a_background_job_although_its_shell_ignores_it(start: Spawn, tmp_path: Path) -> None:
    """A non-interactive shell starts its jobs with SIGINT ignored, and an ignored signal is inherited."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        demo = start(tmp_path)
    finally:
        signal.signal(signal.SIGINT, previous)
    wait_ready(demo)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(STOP_TIMEOUT) == 0


def test_the_children_end_even_when_it_is_killed_outright(start: Spawn, tmp_path: Path) -> None:
    demo = wait_ready(start(tmp_path))
    below = descendants(demo.process.pid)
    demo.process.kill()
    demo.process.wait(STOP_TIMEOUT)
    wait_until(lambda: not [pid for pid in below if is_running(pid)], 10)


def test_the_death_of_a_child_ends_the_run_with_its_name(start: Spawn, tmp_path: Path) -> None:
    demo = wait_ready(start(tmp_path))
    envoy = next(
        pid for pid in descendants(demo.process.pid) if "envoy" in Path(f"/proc/{pid}/cmdline").read_text()[:200]
    )
    os.kill(envoy, signal.SIGKILL)
    assert demo.process.wait(15) == 3
    assert "envoy ended with status -9" in demo.output


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_busy_port_is_refused_in_a_sentence_and_nothing_starts(tmp_path: Path, place: int) -> None:
    ports = (free_port(), free_port(), free_port())
    with socket.create_server(("127.0.0.1", ports[place])):
        answer = subprocess.run(
            command(ports), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # noqa: TID251 - the user's own
        )  # fmt: skip
    assert answer.returncode == 3
    assert f"127.0.0.1:{ports[place]} cannot be used: Address already in use" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / ".extproc" / "users.log").exists()


def test_a_port_shared_with_reuseport_counts_as_busy(tmp_path: Path) -> None:
    ports = (free_port(), free_port(), free_port())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", ports[0]))
        other.listen()
        answer = subprocess.run(command(ports), cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 3


def test_a_file_with_problems_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("listeners: []\nroutes: []\nupstream: {}\n")
    answer = subprocess.run(
        [sys.executable, "-m", "extproc", "up", "gateway.yaml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # noqa: TID251 - the user's own
    )  # fmt: skip
    assert answer.returncode == 1
    assert "gateway.yaml:3:1: upstream: unknown key 'upstream' (did you mean upstreams?)" in answer.stderr
    assert "problems, nothing was started" in answer.stderr


def test_a_gateway_on_standard_input_runs_as_one_in_a_file(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    text = f"""
listeners: [{{name: public, address: "127.0.0.1:{ports[0]}"}}]
envoy: {{admin: "127.0.0.1:{ports[2]}"}}
sidecar: {{admin: "127.0.0.1:{ports[1]}"}}
routes: [{{name: old, match: {{path: /old}}, redirect: {{to: /new}}, authenticate: none}}]
"""
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "extproc", "up", "-"],
            cwd=tmp_path, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},  # noqa: TID251 - the user's own
        )  # fmt: skip
    demo = Demo(tmp_path, process, (ports[0], ports[1], ports[2]))
    try:
        assert process.stdin is not None
        process.stdin.write(text.encode())
        process.stdin.close()
        wait_until(lambda: "Decisions as they are made" in demo.output or process.poll() is not None, 30)
        assert process.poll() is None, demo.output
        answer = demo.get("/old")
    finally:
        end(demo)
    assert (answer.status, answer.headers["location"]) == (308, "http://127.0.0.1/new"), demo.output
