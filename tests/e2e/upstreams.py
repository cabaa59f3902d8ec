"""Upstreams that write down what reached them: only what arrives here proves that a request was let through.

They answer what a test asks for, path by path. Nothing of the gateway is imported.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

JSON: Final = ("content-type", "application/json")
HEALTH_CHECKER: Final = "Envoy/HC"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: header fields in their order, repetitions kept."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def header(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """`chunks` are (pause before it, bytes); with them the answer is chunked and `body` is not sent."""

    status: int = 200
    fields: tuple[tuple[str, str], ...] = (JSON,)
    body: bytes = b"{}"
    delay: float = 0.0
    chunks: tuple[tuple[float, bytes], ...] = ()


class Upstream:
    """`answers` maps a path (without query) to what is answered there; any other path gets the upstream's name. With
    `context` it speaks TLS and nothing else."""

    def __init__(self, name: str, context: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.answers: dict[str, Answer] = {}
        self.received: list[Received] = []
        self.health_checks: list[Received] = []
        self.closing = threading.Event()
        self._server = _Server(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def clear(self) -> None:
        self.received.clear()

    def only(self) -> Received:
        """The one request that was received."""
        assert len(self.received) == 1, self.received
        return self.received[0]

    def record(self, seen: Received) -> Answer:
        if seen.header("user-agent") == HEALTH_CHECKER:
            self.health_checks.append(seen)
        else:
            self.received.append(seen)
        otherwise = Answer(body=json.dumps({"upstream": self.name}).encode())
        return self.answers.get(seen.target.partition("?")[0], otherwise)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def started(*names: str) -> Iterator[list[Upstream]]:
    found = [Upstream(name) for name in names]
    try:
        yield found
    finally:
        for upstream in found:
            upstream.close()


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections for as long as it is ours: bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, owner: Upstream, context: ssl.SSLContext | None) -> None:
        self.owner = owner
        self._context = context
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The handshake is the connection's own thread's: whoever fails it keeps nobody else waiting."""
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A gateway that gives up on an answer closes the connection; that is its right."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        body = b"".join(self._chunks()) if self.headers.get("transfer-encoding") else self._exactly()
        answer = self.server.owner.record(Received(self.command, self.path, tuple(self.headers.items()), body))
        self.server.owner.closing.wait(answer.delay)
        self.send_response_only(answer.status)
        for name, value in answer.fields:
            self.send_header(name, value)
        if answer.chunks:
            self._send_chunks(answer.chunks)
        else:
            self._send_whole(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - http.server's names

    def _send_whole(self, answer: Answer) -> None:
        if answer.status != 204:
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD" and answer.status != 204:
            self.wfile.write(answer.body)

    def _send_chunks(self, chunks: tuple[tuple[float, bytes], ...]) -> None:
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for pause, chunk in chunks:
            self.server.owner.closing.wait(pause)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _exactly(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """What arrived is recorded, not printed."""
