"""Upstreams that answer in OpenAI's style, event by event, each when a test says so; and what their clients read."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from typing import Any, Final

from tests.e2e.clients import Client, Field, request

PATIENCE: Final = 60.0


class Exchange:
    """One request that an upstream has got, and its answer as a test makes it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.request = b""
        connection.settimeout(PATIENCE)

    def read(self) -> None:
        """The whole request: headers, and as much body as they say."""
        while b"\r\n\r\n" not in self.request:
            self.request += self._connection.recv(65536)
        head, _, body = self.request.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        while lengths and len(body) < int(lengths[0]):
            body += self._connection.recv(65536)

    def begin(self, media_type: str = "text/event-stream", status: int = 200) -> None:
        fields = (f"content-type: {media_type}", "connection: close", "transfer-encoding: chunked")
        self._connection.sendall("\r\n".join((f"HTTP/1.1 {status} Said", *fields, "", "")).encode())

    def send(self, piece: bytes) -> bool:
        """Whether somebody is still there."""
        try:
            self._connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Also of an answer that the gateway wants no more of: it may have closed before."""
        with suppress(OSError):
            self._connection.sendall(b"0\r\n\r\n")
        self.close()

    def is_left(self) -> bool:
        """Waits for the other side to close."""
        try:
            while self._connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self) -> None:
        self._connection.close()


class Talker:
    """`accept` gives one exchange after the other; `talk` answers each as it is told, in a thread of its own."""

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._server.settimeout(PATIENCE)
        self.address = "{}:{}".format(*self._server.getsockname())
        self.threads: list[threading.Thread] = []

    def accept(self) -> Exchange:
        connection, _ = self._server.accept()
        exchange = Exchange(connection)
        exchange.read()
        return exchange

    def close(self) -> None:
        self._server.close()
        for thread in self.threads:
            thread.join(PATIENCE)


def chunk(text: str = "", **more: object) -> bytes:
    """An event of Chat Completions."""
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    document = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: %s\n\n" % json.dumps({**document, **more}).encode()


DONE: Final = b"data: [DONE]\n\n"


@contextmanager
def asked(
    client: Client, path: str, *fields: Field, body: bytes = b"{}"
) -> Iterator[tuple[socket.socket, HTTPResponse]]:
    """A request that is sent; `begin` of the reply waits for the answer's headers."""
    with client.connected() as connection:
        length = ("content-length", str(len(body)))
        whole = request("POST", path, ("host", "gateway.test"), ("content-type", "application/json"), length, *fields)
        connection.sendall(whole + body)
        yield connection, HTTPResponse(connection, method="POST")


def events_of(body: bytes) -> list[Any]:
    """What a reader of event streams reads: the JSON of each event, and `[DONE]` as a text."""
    data = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    return [one if one == "[DONE]" else json.loads(one) for one in data]
