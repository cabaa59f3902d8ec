"""A client that speaks TLS to the gateway, with a certificate of its own or without, and HTTP/2 as far as tests go."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.certificates import Authority, Issued
from tests.e2e.clients import TIMEOUT, Client, Reply

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS_FRAME, SETTINGS_FRAME = 1, 4
END_STREAM: Final = 1
ENDS_BOTH: Final = 5  # END_STREAM and END_HEADERS


@dataclass(frozen=True, slots=True)
class SecureClient(Client):
    """Asks for `host` in the handshake, and believes the authority that the context was made with. `head` goes before
    the handshake: a balancer's PROXY line."""

    context: ssl.SSLContext
    host: str
    head: bytes = b""

    @contextmanager
    def connected(self, source: str = "127.0.0.1") -> Iterator[ssl.SSLSocket]:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT, (source, 0)) as connection:
            connection.sendall(self.head)
            with self.context.wrap_socket(connection, server_hostname=self.host) as secured:
                yield secured

    def asking_for(self, host: str) -> SecureClient:
        return replace(self, host=host)

    def served(self) -> str:
        """The serial number of the certificate that the gateway shows."""
        with self.connected() as secured:
            return str((secured.getpeercert() or {})["serialNumber"])

    def tried(self, path: str = "/") -> Reply | None:
        """The answer, or None where the gateway would not have the connection. In TLS 1.3 a client's handshake is over
        before its certificate is looked at, so that the refusal comes with the first read."""
        try:
            return self.get(path)
        except (ssl.SSLError, ConnectionError, AssertionError):
            return None


def trusting(authority: Authority, shown: Issued | None = None, folder: Path | None = None) -> ssl.SSLContext:
    """A client's side. The certificate that it shows is written into the folder for as long as OpenSSL reads it."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if shown is not None and folder is not None:
        context.load_cert_chain(*shown.write(folder, "shown"))
    return context


def serving(issued: Issued, folder: Path, clients: Authority | None = None) -> ssl.SSLContext:
    """An upstream's side; with `clients` it wants a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(folder, "served"))
    if clients is not None:
        context.load_verify_locations(cadata=clients.pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def ask_http2(connection: socket.socket, path: str, *fields: tuple[str, str]) -> None:
    """One GET in HTTP/2 (RFC 9113), its fields spelled out (RFC 7541 §6.2.2). Returns when it is answered whole."""
    pseudo = ((":method", "GET"), (":scheme", "https"), (":authority", "gateway.test"), (":path", path))
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in (*pseudo, *fields))
    connection.sendall(PREFACE + _frame(SETTINGS_FRAME, 0, 0) + _frame(HEADERS_FRAME, ENDS_BOTH, 1, block))
    answered = False
    while not answered:
        length, kind, flags, stream = struct.unpack("!xIBBI", b"\0" + b"\0" + _exactly(connection, 9))
        _exactly(connection, length)
        answered = stream == 1 and kind <= HEADERS_FRAME and bool(flags & END_STREAM)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    assert len(text) < 127, "longer ones need more bytes for their length"
    return bytes([len(text)]) + text.encode()


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        more = connection.recv(size - len(received))
        assert more, "the connection was closed"
        received += more
    return received
