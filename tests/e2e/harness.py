"""Gateways for tests: the real sidecar and the real Envoy, as processes, from a gateway.yaml and back to nothing.

A gateway file names what differs between runs by variables, which the harness sets: GATEWAY_ADDRESS (and one more per
name in `listeners`), ENVOY_ADMIN, SIDECAR_ADMIN, SIDECAR_SOCKETS, and each upstream's name in capitals.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar

from extproc.app.envoy import find_envoy
from tests.e2e.clients import Client
from tests.e2e.credentials import AUTHENTICATION, write_credentials
from tests.e2e.upstreams import Upstream
from tests.free_ports import free_ports

READY: Final = "Decisions as they are made"
MEMBERS: Final = "cluster.extproc.sidecar.membership_healthy"
PATIENCE: Final = 60.0
POLL: Final = 0.02
HEAD: Final = (
    """
listeners: [{name: public, address: "${GATEWAY_ADDRESS}"}]
envoy: {concurrency: 2, admin: "${ENVOY_ADMIN}"}
sidecar: {address: "unix:${SIDECAR_SOCKETS}", admin: "${SIDECAR_ADMIN}", stores: {keys: "file:keys.yaml"}}
"""
    + AUTHENTICATION
)
# A route whose refusal leaves one decision record: when that is there, every earlier call has left its own.
FENCE: Final = "{name: fence, match: {path: /fence}, redirect: {to: /}, authenticate: partners, limits: []}"
T = TypeVar("T")


def eventually(probe: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """The first thing that `probe` finds. Fails the test where it finds nothing in time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(POLL)
    raise AssertionError(f"not within {patience:g} s: {what}")


class Gateway:
    """What the ways of running one have in common: a folder, addresses, a client, and what was written down."""

    def __init__(self, text: str, upstreams: Sequence[Upstream], listeners: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp"))
        self.work = self.folder / ".extproc"
        self.file = self.folder / "gateway.yaml"
        self.file.write_text(text)
        write_credentials(self.folder)
        names = ("GATEWAY_ADDRESS", "ENVOY_ADMIN", "SIDECAR_ADMIN", *listeners)
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.client = Client(self.ports["GATEWAY_ADDRESS"])
        self.environment = {
            **os.environ,  # noqa: TID251 - the child runs in the environment of the test run
            **{name: f"127.0.0.1:{port}" for name, port in self.ports.items()},
            **{upstream.name.upper(): upstream.address for upstream in upstreams},
            "TMPDIR": str(self.folder),
            "NO_COLOR": "1",
        }

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision record so far."""
        return [record for record in _lines(self.work / "decisions.jsonl") if record.get("event") == "decision"]

    def events(self) -> list[dict[str, Any]]:
        """What the sidecar has told about itself so far."""
        return [record for record in _lines(self.work / "decisions.jsonl") if record.get("event") != "decision"]

    def decision(self, request_id: str, service: str = "ext_authz") -> dict[str, Any]:
        def written() -> dict[str, Any] | None:
            found = [record for record in self.decisions() if record.get("request_id") == request_id]
            return next((record for record in found if record["service"] == service), None)

        return eventually(written, f"a decision record of {service} for {request_id}")

    @contextmanager
    def watched(self) -> Iterator[list[dict[str, Any]]]:
        """The decisions of the calls that the block causes; filled when the block ends. Needs the route FENCE."""
        before, seen = self._fence(), list[dict[str, Any]]()
        yield seen
        after = self._fence()
        seen += self.decisions()[before : after - 1]

    def _fence(self) -> int:
        """How many decisions there are, counting one of our own that nothing before it can overtake."""
        request_id = self.client.get("/fence").id
        self.decision(request_id)
        return next(n for n, one in enumerate(self.decisions(), 1) if one.get("request_id") == request_id)

    def access_log(self) -> list[dict[str, Any]]:
        return _lines(self.work / "envoy.log")

    def stat(self, name: str) -> int:
        text = fetch(f"http://127.0.0.1:{self.ports['ENVOY_ADMIN']}/stats?filter=^{name}$")
        return int(text.rpartition(":")[2]) if text.strip() else -1

    def _remove(self) -> None:
        left = [path.name for path in self.folder.glob("extproc-*")]
        shutil.rmtree(self.folder, ignore_errors=True)
        assert left == [], "`extproc up` left its sockets behind"


class RunningGateway(Gateway):
    """`extproc up gateway.yaml`, ready when the context is entered and gone when it is left."""

    process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with (self.folder / "up.log").open("wb") as output:
            command = [sys.executable, "-m", "extproc", "up", str(self.file)]
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        try:
            eventually(self._is_ready, "the gateway is ready")
            # An issuer's keys may still be on their way.
            eventually(lambda: fetch(f"http://127.0.0.1:{self.ports['SIDECAR_ADMIN']}/readyz"), "the sidecar is ready")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        children = child_processes(self.process.pid)
        status = self._end()
        assert status == 0, self.output()
        assert len(children) == 2, "the sidecar and Envoy"
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
        self._remove()

    def output(self) -> str:
        return (self.folder / "up.log").read_text("utf-8", "replace")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.output()
        return READY in self.output()

    def _end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


class SeparateGateway(Gateway):
    """Sidecar and Envoy started one by one, so that either can be killed, late, or hold another file."""

    def __init__(self, text: str, upstreams: Sequence[Upstream]) -> None:
        super().__init__(text, upstreams)
        self.work.mkdir()
        self.environment["SIDECAR_SOCKETS"] = str(self.folder)
        self.sidecar: subprocess.Popen[bytes]
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(10)
        self._remove()

    def start_sidecar(self, file: Path | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "extproc", "serve", str(file or self.file)]
        with (self.work / "decisions.jsonl").open("ab") as output, (self.work / "sidecar.err.log").open("ab") as errors:
            return self._start(command, output, errors)

    def replace_sidecar(self, file: Path) -> None:
        """Another sidecar in the place of the one that runs, in Envoy's eyes too."""
        self.sidecar.terminate()
        self.sidecar.wait(10)
        self.wait_for_sidecar(healthy=False)
        self.sidecar = self.start_sidecar(file)
        self.wait_for_sidecar()

    def start_envoy(self, replaced: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """`replaced` are texts of the bootstrap with what stands there instead."""
        bootstrap = self.work / "bootstrap.yaml"
        render = [sys.executable, "-m", "extproc", "render", str(self.file), "--into", str(self.work)]
        subprocess.run(render, env=self.environment, stdout=subprocess.DEVNULL, check=True)
        text = bootstrap.read_text("utf-8")
        for old, new in (replaced or {}).items():
            assert old in text
            text = text.replace(old, new)
        bootstrap.write_text(text)
        command = [find_envoy(), "-c", str(bootstrap), "--concurrency", "2", "--disable-hot-restart"]
        with (self.work / "envoy.log").open("wb") as output:
            return self._start([*command, "--log-level", "warning"], output, output)

    def wait_for_sidecar(self, *, healthy: bool = True) -> None:
        """Until Envoy's health check says so."""
        eventually(lambda: self.stat(MEMBERS) == int(healthy), f"Envoy sees {int(healthy)} healthy sidecar")

    def _start(self, command: list[str], output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=output, stderr=errors, stdin=subprocess.DEVNULL
        )
        self._running.append(process)
        return process


def fetch(url: str, token: str = "") -> str:
    """The answer's text, or nothing where nobody answers with a 2xx."""
    asked = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"} if token else {})  # noqa: S310
    try:
        with urllib.request.urlopen(asked, timeout=2) as answer:  # noqa: S310 - an admin address of our own
            return str(answer.read().decode())
    except OSError:
        return ""


def child_processes(pid: int) -> list[int]:
    """By Linux's own list (proc(5))."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a log that are JSON objects; others are what a program says about itself."""
    if not file.exists():
        return []
    written = file.read_bytes().decode("utf-8", "replace").rpartition("\n")[0].splitlines()
    return [json.loads(line) for line in written if line.startswith("{")]
