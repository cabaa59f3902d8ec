"""`extproc serve --ratelimit-config DIR` as a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.app.processes import PATIENCE
from tests.free_ports import free_port


@dataclass(slots=True)
class RateLimits:
    """Started by `with`, killed at its end if it still runs."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    store: str = ""
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "extproc", "serve", "--ratelimit-config", str(self.folder)]
        command += ["--address", self.address, "--admin", f"127.0.0.1:{self.admin}", *self.options]
        environment = {**os.environ, **({"EXTPROC_RATELIMIT_STORE": self.store} if self.store else {})}  # noqa: TID251
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()

    def event(self, name: str) -> dict[str, Any]:
        """The next of that name in its log."""
        assert self.process.stdout is not None
        while True:
            readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            line = self.process.stdout.readline() if readable else b""
            assert line, f"it does not say {name}"
            document: dict[str, Any] = json.loads(line)
            if document["event"] == name:
                return document

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said to the operator."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said.decode()

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)
        try:
            connection.request(method, path, body.encode())
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def judge(self, domain: str, key: str, value: str = "x") -> int:
        body = {"domain": domain, "descriptors": [{"entries": [{"key": key, "value": value}]}]}
        return self.ask("POST", "/json", json.dumps(body))[0]
