"""What an edited body costs: a buffered edit of 1 KiB against an exchange in which nobody edits, in one run, and what
memory a stream of 10 MiB takes. `python -m tests.bench.payloads`; ratios, since times are those of one machine.
"""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.e2e.harness import FENCE, HEAD, RunningGateway, child_processes

ROUNDS: Final = 15
REQUESTS: Final = 100  # of each case in each round
MIB: Final = 1024 * 1024
EVENT: Final = b'data: {"n":1,"text":"' + b"x" * 200 + b'"}\n\n'
PIECE: Final = EVENT * (64 * 1024 // len(EVENT))
NOTHING: Final = """
from extproc import Phase, Policy, Settings


class NoSettings(Settings):
    pass


class Nothing(Policy):
    name, Settings, phases = "nothing", NoSettings, frozenset({Phase.RESPONSE_BODY})

    @staticmethod
    def build(settings, ports):
        return Nothing()
"""
GATEWAY: Final = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: none, limits: []}
routes:
  - {name: plain, match: {path: /plain}, upstream: main}
  - {name: empty, match: {path: /empty}, upstream: main, policies: [{use: nothing}]}
  - name: edited
    match: {path: /edited}
    upstream: main
    policies: [{use: transform, response: {json: {set: {by: route.name}, remove: [secret]}}}]
  - name: stream
    match: {path: /stream}
    upstream: main
    stream: true
    policies: [{use: transform, response: {events: {json: {set: {n: event.json.n + 1}}}}}]
  - """
    + FENCE
)


class Plain:
    """An upstream that answers every request with the same bytes, each in one piece: nothing waits for an ACK."""

    name = "main"

    def __init__(self) -> None:
        body = json.dumps({"secret": 1, "filling": "x" * 1000}).encode()
        whole = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        self._whole, self._stream = whole.encode() + body, stream.encode()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._server.getsockname())
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while asked := connection.recv(65536):
                if b" /stream " not in asked:
                    connection.sendall(self._whole)
                    continue
                connection.sendall(self._stream)
                for _ in range(10 * MIB // len(PIECE)):
                    connection.sendall(PIECE)
                return


def main() -> int:
    running = RunningGateway(GATEWAY, [Plain()])  # type: ignore[list-item]  # it has what is asked of one
    (running.folder / "policies").mkdir()
    (running.folder / "policies" / "nothing.py").write_text(NOTHING)
    with running:
        _report(_times(running), _memory(running), Console())
    return 0


def _times(running: RunningGateway) -> dict[str, list[float]]:
    """The median of each round, in turns, so that whatever else the machine does meets all alike."""
    times: dict[str, list[float]] = {"/plain": [], "/empty": [], "/edited": []}
    connection = http.client.HTTPConnection("127.0.0.1", running.ports["GATEWAY_ADDRESS"])
    for _ in range(ROUNDS):
        for path, found in times.items():
            found.append(statistics.median(_asked(connection, path) for _ in range(REQUESTS)))
    connection.close()
    return times


def _asked(connection: http.client.HTTPConnection, path: str) -> float:
    begun = time.perf_counter()
    connection.request("GET", path)
    connection.getresponse().read()
    return time.perf_counter() - begun


def _memory(running: RunningGateway) -> dict[str, float]:
    """How much more the sidecar and Envoy had at most, in MiB: their high-water marks before and after."""
    children = child_processes(running.process.pid)
    before = {pid: _high_water(pid) for pid in children}
    reply = running.client.get("/stream")
    if reply.status != http.client.OK:
        raise RuntimeError(f"the stream was answered with {reply.status}")
    return {_name(pid): _high_water(pid) - before[pid] for pid in children}


def _high_water(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _report(times: dict[str, list[float]], memory: dict[str, float], console: Console) -> None:
    for path in ("/empty", "/edited"):
        ratios = [ours / theirs for ours, theirs in zip(times[path], times["/plain"], strict=True)]
        console.print(
            f"{path[1:]:8} {statistics.median(times[path]) * 1e6:6.0f} µs, {_spread(ratios)} of a plain request"
        )
    ratios = [edited / empty for edited, empty in zip(times["/edited"], times["/empty"], strict=True)]
    console.print(f"an edit of 1 KiB costs {_spread(ratios)} of an exchange in which nobody edits")
    for name, more in memory.items():
        console.print(f"a stream of 10 MiB takes {more:.1f} MiB more of {name}")


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    sys.exit(main())
