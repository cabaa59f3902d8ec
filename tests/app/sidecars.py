"""`extproc serve` as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.app.processes import PATIENCE
from tests.free_ports import free_port

TOKEN = "correct-horse"
GATEWAY = """
listeners: [{{name: public, address: "127.0.0.1:8080"}}]
sidecar: {{address: "unix:{sockets}", admin: "127.0.0.1:{admin}"}}
upstreams: {{only: {{endpoints: ["127.0.0.1:9000"]}}}}
routes:
  - {{name: open, match: {{path_prefix: /open}}, upstream: only, authenticate: none,
     authorize: 'request.method == "GET"'}}
  - {{name: rest, match: {{path_prefix: /}}, upstream: only, authenticate: none}}
"""


@dataclass(slots=True)
class Sidecar:
    """Started by `with`, killed at its end if it still runs. `admin` and `sockets` may be another's."""

    folder: Path
    admin: int = field(default_factory=free_port)
    sockets: Path | None = None
    text: str | None = None
    token: str | None = TOKEN
    process: subprocess.Popen[bytes] = field(init=False)
    started: float = field(init=False)

    @property
    def socket(self) -> Path:
        return (self.sockets or self.folder) / "worker-0.a.sock"

    @property
    def file(self) -> Path:
        return self.folder / f"gateway-{self.admin}.yaml"

    def __enter__(self) -> Self:
        text = self.text or GATEWAY.format(sockets=self.sockets or self.folder, admin=self.admin)
        self.file.write_text(text)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "extproc", "serve", str(self.file)],
            env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0,  # so that what can be read is seen by select
        )  # fmt: skip
        return self

    def _environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "EXTPROC_ADMIN_TOKEN"}  # noqa: TID251
        return inherited | ({"EXTPROC_ADMIN_TOKEN": self.token} if self.token is not None else {})

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()

    def event(self) -> dict[str, Any]:
        """The next line of its log."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if readable else b""
        assert line, self.ended() if readable else "it says nothing"
        document: dict[str, Any] = json.loads(line)
        return document

    def until_ready(self) -> float:
        """Seconds from its start."""
        assert self.event()["event"] == "ready"
        return time.monotonic() - self.started

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it said to the operator."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said.decode()

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        status, _, body = self.ask(path, {"authorization": f"Bearer {token}"} if token else {})
        return status, json.loads(body)

    def ask(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        try:
            return answer.status, answer.getheader("content-type", ""), answer.read()
        finally:
            connection.close()

    def resident_kilobytes(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def answers(path: Path) -> bool:
    """Whether somebody takes connections on that socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
