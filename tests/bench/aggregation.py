"""`python -m tests.bench.aggregation`: how much longer an answer of three parts takes than the slowest of them.

Each part takes 20 ms at its upstream. The ratios are what to compare, of medians in one run, taken in turns: to the
slowest part on a route of its own through the same gateway, and to the slowest part asked at its upstream.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, RunningGateway

PART: Final = 0.02
ROUNDS: Final = 15
TIMES: Final = 20  # of each case in each round
PARTS: Final = ("first", "second", "third")
GATEWAY: Final = (
    HEAD
    + """
upstreams:
  first: {endpoints: ["${FIRST}"]}
  second: {endpoints: ["${SECOND}"]}
  third: {endpoints: ["${THIRD}"]}
defaults: {authenticate: partners, limits: []}
routes:
  - name: home
    match: {path: /home}
    aggregate:
      first: {upstream: first, path: /first}
      second: {upstream: second, path: /second}
      third: {upstream: third, path: "/third?user={consumer.id}"}
  - {name: third, match: {path: /third}, upstream: third}
"""
)


class Late:
    """An upstream that answers every request with the same bytes after a while, each in one piece."""

    def __init__(self, name: str, after: float) -> None:
        body = json.dumps({"name": name, "filling": "x" * 200}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.name = name
        self._whole, self._after = head.encode() + body, after
        self._never = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while connection.recv(65536):
                self._never.wait(self._after)
                connection.sendall(self._whole)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--times", type=int, default=TIMES)
    asked = parser.parse_args(arguments)
    upstreams = [Late(name, PART) for name in PARTS]
    running = RunningGateway(GATEWAY, upstreams)  # type: ignore[arg-type]  # they have what is asked of one
    with running:
        gateway = running.ports["GATEWAY_ADDRESS"]
        cases = {"aggregate": (gateway, "/home"), "route": (gateway, "/third"), "part": (upstreams[2].port, "/third")}
        found = times(cases, asked.rounds, asked.times)
    sys.stdout.write(json.dumps(said(found), indent=2) + "\n")
    return 0


def times(cases: dict[str, tuple[int, str]], rounds: int, number: int) -> dict[str, list[float]]:
    """In turns, so that whatever else the machine does meets all alike. The first of each opens connections."""
    connections = {name: http.client.HTTPConnection("127.0.0.1", port) for name, (port, _) in cases.items()}
    found: dict[str, list[float]] = {name: [] for name in cases}
    for name, (_, path) in cases.items():
        _asked(connections[name], path)
    for _ in range(rounds * number):
        for name, (_, path) in cases.items():
            found[name].append(_asked(connections[name], path))
    for connection in connections.values():
        connection.close()
    return found


def _asked(connection: http.client.HTTPConnection, path: str) -> float:
    begun = time.perf_counter()
    connection.request("GET", path, headers=dict([FREE]))
    reply = connection.getresponse()
    reply.read()
    assert reply.status == 200, reply.status
    return time.perf_counter() - begun


def said(found: dict[str, list[float]]) -> dict[str, float]:
    """Medians in milliseconds, and what the aggregate's is in those of the others."""
    medians = {name: statistics.median(some) for name, some in found.items()}
    ratios = {f"to_the_{name}": medians["aggregate"] / medians[name] for name in ("route", "part")}
    return {**{f"{name}_ms": median * 1000 for name, median in medians.items()}, **ratios}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
