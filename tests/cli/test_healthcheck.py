"""`extproc healthcheck`: nothing and 0 where the sidecar is ready, a sentence and 3 where it is not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from extproc.cli.healthcheck import parse_address
from tests.cli.commands import extproc
from tests.free_ports import free_port

HEAVY: Final = {"grpc", "google", "envoy_data_plane", "cel_expr_python", "uvicorn", "starlette", "yaml", "jwt", "rich"}
READY: Final = b'{"status":"ready"}'


class Admin(BaseHTTPRequestHandler):
    """What an admin address answers. Knows one path only, so that asking for another shows."""

    status = 200
    text = READY

    def do_GET(self) -> None:  # http.server's name
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nobody reads it."""


@contextmanager
def admin(status: int = 200, text: bytes = READY) -> Iterator[str]:
    answers = type("Answers", (Admin,), {"status": status, "text": text})
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


@contextmanager
def says(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Somebody who takes one connection and speaks no HTTP worth the name."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                answer(connection)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            serving.join()


def test_a_ready_sidecar_is_0_and_nothing_said(tmp_path: Path) -> None:
    with admin() as address:
        ended = extproc("healthcheck", "--admin", address, folder=tmp_path)
    assert (ended.code, ended.output, ended.errors) == (0, "", "")


def test_one_that_is_not_ready_is_3_and_a_sentence(tmp_path: Path) -> None:
    with admin(503, b'{"status":"not ready"}') as address:
        ended = extproc("healthcheck", "--admin", address, folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == [f"extproc: the sidecar at {address} is not ready: /readyz answers 503"]


@pytest.mark.parametrize("text", [b"", b"ready", b'"ready"', b'{"status":"alive"}', b"[" * 5000, b"\xff"])
def test_somebody_else_on_its_port_is_no_ready_sidecar(text: bytes, tmp_path: Path) -> None:
    with admin(200, text) as address:
        ended = extproc("healthcheck", "--admin", address, folder=tmp_path)
    assert ended.code == 3
    assert ended.said == [f"extproc: no sidecar answers at {address}: /readyz does not say that it is ready"]


def test_nobody_on_its_port_is_3_and_a_sentence(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    ended = extproc("healthcheck", "--admin", address, folder=tmp_path)
    assert ended.code == 3
    assert ended.said == [f"extproc: no sidecar answers at {address}: Connection refused"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda connection: None,
        lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n"),
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort"),
    ],
    ids=["hangs up", "mail", "short"],
)
def test_who_speaks_no_http_is_3_and_a_sentence(answer: Callable[[socket.socket], None], tmp_path: Path) -> None:
    with says(answer) as address:
        ended = extproc("healthcheck", "--admin", address, folder=tmp_path)
    assert ended.code == 3
    assert len(ended.said) == 1
    assert ended.said[0].startswith(f"extproc: no sidecar answers at {address}: ")
    assert "mail" not in ended.said[0]


def test_who_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        ended = extproc("healthcheck", "--admin", address, folder=tmp_path)
    assert ended.code == 3
    assert ended.said == [f"extproc: no sidecar answers at {address}: timed out"]


def test_a_proxy_in_the_environment_is_not_asked(tmp_path: Path) -> None:
    proxy = {name: f"http://127.0.0.1:{free_port()}" for name in ("http_proxy", "HTTP_PROXY", "all_proxy")}
    with admin() as address:
        assert extproc("healthcheck", "--admin", address, folder=tmp_path, environment=proxy).code == 0


def test_it_imports_nothing_heavy() -> None:
    program = (
        "import runpy, sys\n"
        "try:\n    runpy.run_module('extproc', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as ended:\n    print(ended.code, *{name.split('.')[0] for name in sys.modules})"
    )
    with admin() as address:
        command = [sys.executable, "-c", program, "healthcheck", "--admin", address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    code, *modules = ended.stdout.split()
    assert code == "0"
    assert "extproc" in modules
    assert not HEAVY & set(modules)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9900", ("127.0.0.1", 9900)),
        ("[::1]:1", ("::1", 1)),
        ("side-car.example:65535", ("side-car.example", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "9900", ":9900", "host:", "host:0", "host:65536", "::1:80", "http://host:80", "host:80/x", "a b:80"]
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST:PORT"):
        parse_address(text)
