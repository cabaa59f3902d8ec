"""`extproc up --demo` as its user runs it: a process, a folder with demo.env, HTTP on a port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.free_ports import free_port

ROOT: Final = Path(__file__).parents[2]
START_TIMEOUT: Final = 120.0
STOP_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Demo:
    folder: Path
    process: subprocess.Popen[bytes]
    ports: tuple[int, int, int]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> str:
        return (self.folder / "up.log").read_text("utf-8", "replace")

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=30)
        try:
            connection.request(method, path, body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def as_key(self, name: str) -> dict[str, str]:
        return {"x-api-key": self.environment[name]}

    def as_token(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.environment[name]}"}

    def lines(self, file: str) -> list[dict[str, Any]]:
        text = (self.folder / ".extproc" / file).read_text("utf-8", "replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def command(ports: tuple[int, int, int]) -> list[str]:
    return [
        sys.executable, "-m", "extproc", "up", "--demo", str(ROOT / "compose" / "demo"),
        "--port", str(ports[0]), "--admin-port", str(ports[1]), "--envoy-admin-port", str(ports[2]),
    ]  # fmt: skip


def spawn(
    folder: Path, ports: tuple[int, int, int] | None = None, environment: Mapping[str, str] | None = None
) -> Demo:
    """Start it in a process group of its own, as a shell's job is."""
    ports = ports or (free_port(), free_port(), free_port())
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command(ports), cwd=folder, stdout=log, stderr=subprocess.STDOUT, process_group=0,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(environment or {})},  # noqa: TID251 - the user's own
        )  # fmt: skip
    return Demo(folder, process, ports)


def wait_ready(demo: Demo) -> Demo:
    file = demo.folder / ".extproc" / "demo.env"
    wait_until(lambda: file.is_file() or demo.process.poll() is not None, START_TIMEOUT)
    assert demo.process.poll() is None, demo.output
    demo.environment = dict(line.split("=", 1) for line in file.read_text().splitlines())
    return demo


def wait_until(holds: Any, timeout: float) -> None:
    """Polls; a machine that is slow makes it slower, never wrong."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@contextmanager
def running_demo(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Demo]:
    demo = spawn(folder, environment=environment)
    try:
        yield wait_ready(demo)
    finally:
        end(demo)


def end(demo: Demo, number: signal.Signals = signal.SIGTERM) -> int:
    if demo.process.poll() is None:
        os.killpg(demo.process.pid, number) if number is signal.SIGINT else demo.process.send_signal(number)
    return demo.process.wait(START_TIMEOUT)


def descendants(pid: int) -> list[int]:
    """Every process below this one, by /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in children for found in (int(child), *descendants(int(child)))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
