"""An identity provider on loopback: it publishes its keys, signs tokens, and can be gone. It uses nothing of ours."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.clients import Field
from tests.free_ports import free_port

AUDIENCE: Final = "shop"
DISCOVERY: Final = "/.well-known/openid-configuration"
JWKS: Final = "/keys"


class IdentityProvider:
    """`asked` counts requests by path. The port stays the same while it is down."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.asked: Counter[str] = Counter()
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._published: list[str] = []
        self._server: _Server | None = None

    def rotate(self, kid: str, *, keep: bool = True) -> None:
        """A new key, published and used from now on."""
        self._keys[kid] = ec.generate_private_key(ec.SECP256R1())
        self._published = [*(self._published if keep else []), kid]

    def bearer(self, kid: str, header: Mapping[str, object] | None = None, **claims: object) -> Field:
        now = int(time.clock_gettime(time.CLOCK_REALTIME))
        stated = {"iss": self.url, "aud": AUDIENCE, "sub": "caller", "iat": now, "exp": now + 600, **claims}
        key = self._keys.get(kid) or next(iter(self._keys.values()))
        return ("authorization", "Bearer " + jwt.encode(stated, key, "ES256", headers={"kid": kid, **(header or {})}))

    def document(self, path: str) -> object:
        self.asked[path] += 1
        if path == DISCOVERY:
            return {"issuer": self.url, "jwks_uri": f"{self.url}{JWKS}"}
        return {"keys": [self._public(kid) for kid in self._published]} if path == JWKS else None

    def _public(self, kid: str) -> dict[str, Any]:
        return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._keys[kid].public_key())), "kid": kid}

    def up(self) -> None:
        self._server = _Server(self, self._port)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.close_connections()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, provider: IdentityProvider, port: int) -> None:
        self.provider = provider
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_connections(self) -> None:
        """A process that is killed leaves no connection behind; kept ones must not go on answering."""
        for connection in self._open:
            socketserver.TCPServer.shutdown_request(self, connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        document = self.server.provider.document(self.path)
        body = json.dumps(document).encode()
        self.send_response(200 if document is not None else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Nothing is written down but what is asked."""


@contextmanager
def provider(*kids: str) -> Iterator[IdentityProvider]:
    found = IdentityProvider()
    for kid in kids:
        found.rotate(kid)
    found.up()
    try:
        yield found
    finally:
        found.down()
