"""An HTTP/2 client that sends exactly the header fields it is given, pseudo-headers too, good or not."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.e2e.clients import TIMEOUT, Field, Reply

STREAM: Final = 1
# What h2 would put right, or refuse to send, is what these tests are about.
AS_GIVEN: Final = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
)


@dataclass(slots=True)
class _Answer:
    fields: list[Field] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    over: bool = False

    def take(self, event: Event) -> None:
        match event:
            case ResponseReceived(headers=headers) | TrailersReceived(headers=headers):
                self.fields += [(_text(name), _text(value)) for name, value in headers or ()]
            case DataReceived(data=data):
                self.body += data or b""
            case StreamEnded():
                self.whole = self.over = True
            case StreamReset() | ConnectionTerminated():
                self.over = True

    def reply(self) -> Reply | None:
        if not self.whole:
            return None
        status = next(value for name, value in self.fields if name == ":status")
        return Reply(int(status), tuple(one for one in self.fields if not one[0].startswith(":")), self.body)


def ask(
    port: int, *fields: Field, body: bytes = b"", trailers: tuple[Field, ...] = (), method: str = "GET"
) -> Reply | None:
    """The answer on a connection of its own; None where the stream was reset or the connection closed. Fields without a
    pseudo-header of that name get a good one in front."""
    connection = H2Connection(AS_GIVEN)
    connection.initiate_connection()
    connection.send_headers(STREAM, _wire(_completed(fields, method)), end_stream=not body and not trailers)
    if body:
        connection.send_data(STREAM, body, end_stream=not trailers)
    if trailers:
        connection.send_headers(STREAM, _wire(trailers), end_stream=True)
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as opened:
        return _exchange(opened, connection).reply()


def _exchange(opened: socket.socket, connection: H2Connection) -> _Answer:
    answer = _Answer()
    try:
        opened.sendall(connection.data_to_send())
        while not answer.over and (received := opened.recv(65_536)):
            for event in connection.receive_data(received):
                answer.take(event)
            opened.sendall(connection.data_to_send())
    except (BrokenPipeError, ConnectionResetError):
        pass
    return answer


def _completed(fields: tuple[Field, ...], method: str) -> list[Field]:
    given = {name for name, _ in fields}
    good = ((":method", method), (":scheme", "http"), (":authority", "gateway.test"), (":path", "/app"))
    return [*(one for one in good if one[0] not in given), *fields]


def _wire(fields: tuple[Field, ...] | list[Field]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
