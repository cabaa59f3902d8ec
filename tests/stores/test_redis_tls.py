"""A Redis that speaks TLS: asked when its certificate is good, and never when it is not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from extproc.app.clock import SystemClock
from extproc.app.observing import Unheard
from extproc.core.errors import StoreUnavailable
from extproc.stores.redis_connection import PATIENT, RedisConnection
from extproc.stores.redis_counters import RedisCounters
from tests.certificates import Authority, dns, ip
from tests.redis_groups import RedisNode, folder, free_port
from tests.stores.counters import allowed, charge


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def secure(authority: Authority, tmp_path: Path) -> Iterator[int]:
    """The port on which a Redis speaks TLS."""
    certificate, key = authority.issue(dns("localhost"), ip("127.0.0.1")).write(tmp_path, "redis")
    port = free_port()
    options = (f"tls-port {port}", f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no")
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes(authority.pem)
    node = RedisNode(folder(), (*options, f"tls-ca-cert-file {trusted}")).start()
    yield port
    node.stop()


@contextlib.asynccontextmanager
async def counters(url: str) -> AsyncIterator[RedisCounters]:
    connection = RedisConnection(url, "counters", Unheard(), PATIENT, PATIENT)
    try:
        yield RedisCounters(connection, SystemClock())
    finally:
        await connection.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_redis_with_a_certificate_that_is_trusted_counts(
    secure: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    async with counters(f"rediss://{host}:{secure}") as store:
        assert [await allowed(store) for _ in range(6)] == [True] * 5 + [False]


async def test_a_redis_with_a_certificate_that_nobody_vouches_for_is_not_asked(secure: int) -> None:
    async with counters(f"rediss://localhost:{secure}") as store:
        with pytest.raises(StoreUnavailable):
            await store.hit(charge())
