"""The certificate of a server of ours: shown, replaced while it serves, and kept where the new one is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.app.server_certificates import ServerCertificates, TlsFiles, UnusableCertificate
from extproc.services.server import AddressServer
from tests.certificates import CLIENT, Authority, Issued, dns, replace
from tests.free_ports import free_port

NAME = dns("limits.test")
NOBODY = (grpc.StatusCode.UNAVAILABLE,)


@dataclass(slots=True)
class Tls:
    """A server with a health service, and whoever asks it."""

    folder: Path
    asks_clients: bool = False
    authority: Authority = field(default_factory=Authority)
    refused: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    server: AddressServer = field(init=False)

    async def start(self) -> None:
        certificate, key = self.issue().write(self.folder, "server")
        replace(self.folder / "ca.crt", self.authority.pem)
        files = TlsFiles(certificate, key, self.folder / "ca.crt" if self.asks_clients else None)
        credentials = ServerCertificates(files, self.refused.append).credentials()
        self.server = AddressServer(f"127.0.0.1:{self.port}", [], credentials=credentials)
        await self.server.start()
        await self.server.serve()

    def issue(self) -> Issued:
        return self.authority.issue(NAME)

    async def ask(self, client: Issued | None = None, authority: Authority | None = None) -> int:
        """Whether it serves. Raises AioRpcError where there is no connection."""
        own = (client.key_pem, client.pem) if client else (None, None)
        credentials = grpc.ssl_channel_credentials((authority or self.authority).pem, *own)
        options = [("grpc.ssl_target_name_override", "limits.test"), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            return int((await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)).status)

    async def refuses(self, client: Issued | None = None, authority: Authority | None = None) -> bool:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.ask(client, authority)
        return raised.value.code() in NOBODY


Start = Callable[..., Awaitable[Tls]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Tls] = []

    async def one(*, asks_clients: bool = False) -> Tls:
        tls = Tls(tmp_path, asks_clients)
        await tls.start()
        started.append(tls)
        return tls

    yield one
    for tls in started:
        await tls.server.stop(0)


async def test_it_shows_its_certificate_and_speaks_no_plain_text(start: Start) -> None:
    tls = await start()
    assert await tls.ask() == health_pb2.HealthCheckResponse.SERVING
    assert await tls.refuses(authority=Authority())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{tls.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)


async def test_a_certificate_that_was_replaced_is_shown_to_the_next_who_comes(start: Start) -> None:
    tls = await start()
    other = Authority("another authority")
    other.issue(NAME).write(tls.folder, "server")
    assert await tls.refuses()
    assert await tls.ask(authority=other) == health_pb2.HealthCheckResponse.SERVING
    assert tls.refused == []


async def test_files_that_do_not_fit_together_leave_those_before_them_and_are_told_once(start: Start) -> None:
    tls = await start()
    replace(tls.folder / "server.key", tls.issue().key_pem)
    for _ in range(3):
        assert await tls.ask() == health_pb2.HealthCheckResponse.SERVING
    assert tls.refused == [f"{tls.folder}/server.crt: the key is not the certificate's"]
    other = Authority("another authority")
    other.issue(NAME).write(tls.folder, "server")
    assert await tls.ask(authority=other) == health_pb2.HealthCheckResponse.SERVING


async def test_who_shows_no_certificate_of_the_authority_is_not_let_in_where_one_is_asked_for(start: Start) -> None:
    tls = await start(asks_clients=True)
    known = tls.authority.issue(dns("envoy.test"), usage=CLIENT)
    assert await tls.ask(known) == health_pb2.HealthCheckResponse.SERVING
    assert await tls.refuses()
    stranger = Authority("a stranger's").issue(dns("envoy.test"), usage=CLIENT)
    assert await tls.refuses(stranger)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("server.crt", b"none", "server.crt: it holds no certificate in PEM"),
        ("server.key", b"none", "server.crt: "),
        ("ca.crt", b"none", "ca.crt: it holds no certificate in PEM"),
    ],
)
def test_files_that_cannot_be_used_are_told_at_the_start_without_a_word_of_theirs(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    authority = Authority()
    certificate, key = authority.issue(NAME).write(tmp_path, "server")
    replace(tmp_path / "ca.crt", authority.pem)
    replace(tmp_path / name, content)
    with pytest.raises(UnusableCertificate) as raised:
        ServerCertificates(TlsFiles(certificate, key, tmp_path / "ca.crt"), print)
    assert str(raised.value).startswith(f"{tmp_path}/{said}")
