"""An HTTP/1.1 client that sends exactly the bytes it is given: repeated fields, odd bytes, broken requests."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

TIMEOUT: Final = 15.0
HOST: Final = "gateway.test"
Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    fields: tuple[Field, ...]
    body: bytes = field(repr=False)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def header(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    @property
    def id(self) -> str:
        """Envoy's own x-request-id, which names this exchange everywhere."""
        (value,) = self.all("x-request-id")
        return value

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """Of a refusal, which must be problem+json and say the same status as its first line."""
        assert self.header("content-type") == "application/problem+json", (self.status, self.fields, self.body[:200])
        problem = self.json()
        assert int(problem["status"]) == self.status
        return str(problem["reason"])


@dataclass(frozen=True, slots=True)
class Client:
    port: int

    def get(self, path: str, *fields: Field, host: str = HOST, source: str = "127.0.0.1") -> Reply:
        return self.ask("GET", path, *fields, host=host, source=source)

    def ask(
        self, method: str, path: str, *fields: Field, body: bytes | None = None, host: str = HOST,
        source: str = "127.0.0.1",
    ) -> Reply:  # fmt: skip
        length = [] if body is None else [("content-length", str(len(body)))]
        raw = request(method, path, ("host", host), *length, *fields) + (body or b"")
        reply = self.send(raw, method, source)
        assert reply is not None, f"{method} {path} got no answer"
        return reply

    def send(self, raw: bytes, method: str = "GET", source: str = "127.0.0.1") -> Reply | None:
        """The first answer to these bytes, or None where the connection was closed without one."""
        with self.connected(source) as connection:
            # Refused before it was all sent: the answer may be there all the same.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(raw)
            return read_reply(connection, method)

    @contextmanager
    def connected(self, source: str = "127.0.0.1") -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT, (source, 0)) as connection:
            yield connection


def request(method: str, path: str, *fields: Field) -> bytes:
    """The head of a request, latin-1: one character is one byte."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def read_reply(connection: socket.socket, method: str = "GET") -> Reply | None:
    with http.client.HTTPResponse(connection, method=method) as response:
        try:
            response.begin()
            body = response.read()
        except (http.client.BadStatusLine, ConnectionResetError):
            return None
        return Reply(response.status, tuple(response.getheaders()), body)
