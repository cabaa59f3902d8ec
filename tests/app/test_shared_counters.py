"""Several sidecars, one count: as processes of their own, asked as Envoy asks them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest

from extproc.app.project import read_project
from extproc.wire.auth_pb2 import CheckResponse
from tests import redis_groups
from tests.app.sidecars import Sidecar
from tests.services.harness import SPELL_CHECK, check_request

GATEWAY: Final = """
listeners: [{{name: public, address: "127.0.0.1:8080"}}]
sidecar: {{address: "unix:{sockets}", admin: "127.0.0.1:{admin}", stores: {{counters: {store}, counters_timeout: 2s}}}}
upstreams: {{only: {{endpoints: ["127.0.0.1:9000"]}}}}
routes:
  - name: orders
    match: {{path_prefix: /}}
    upstream: only
    authenticate: none
    authorize: 'true'
    limits: [{{per: address, rate: 5/minute}}, {{per: route, quota: 1000/hour}}, {{per: address, sliding: 100/minute}}]
"""
CHECK: Final = "/envoy.service.auth.v3.Authorization/Check"


@contextlib.contextmanager
def sidecars(folder: Path, count: int, store: str) -> Iterator[list[Sidecar]]:
    with contextlib.ExitStack() as stack:
        running = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            sidecar = Sidecar(own)
            sidecar.text = GATEWAY.format(sockets=own, admin=sidecar.admin, store=store)
            running.append(stack.enter_context(sidecar))
        for sidecar in running:
            sidecar.until_ready()
        yield running


async def admitted(running: list[Sidecar], times: int) -> int:
    """Of so many at once, spread over all."""
    revision = read_project(running[0].file, {}).plan.revision
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(f"unix:{one.socket}")) for one in running]
        asks = [
            channel.unary_unary(CHECK, request_serializer=SPELL_CHECK, response_deserializer=CheckResponse.FromString)
            for channel in channels
        ]
        calls = []
        for number in range(times):
            request = check_request(route="orders", revision=revision)
            request.attributes.request.http.id = f"stream-{number}"
            calls.append(asks[number % len(asks)](request, timeout=20))
        answers = await asyncio.gather(*calls)
    return sum(answer.status.code == 0 for answer in answers)


@pytest.mark.parametrize(("store", "count"), [("memory", 1), ("redis", 1), ("redis", 4), ("cluster", 4)])
async def test_a_hundred_at_once_on_five_a_minute_admit_exactly_five(tmp_path: Path, store: str, count: int) -> None:
    if store == "redis":
        with redis_groups.one().client() as client:
            client.flushall()
        store = f"redis://127.0.0.1:{redis_groups.one().port}"
    elif store == "cluster":
        redis_groups.cluster().flush()
        store = f'"{redis_groups.cluster().url}"'
    with sidecars(tmp_path, count, store) as running:
        assert await admitted(running, 100) == 5


async def test_a_quota_outlives_the_sidecar_that_counted_it(tmp_path: Path) -> None:
    text = GATEWAY.replace("counters_timeout: 2s", "quotas: file:quotas.sqlite").replace(
        "rate: 5/minute", "quota: 5/day"
    )
    for expected in (5, 0):
        sidecar = Sidecar(tmp_path)
        sidecar.text = text.format(sockets=tmp_path, admin=sidecar.admin, store="memory")
        with sidecar:
            sidecar.until_ready()
            assert await admitted([sidecar], 20) == expected
            assert sidecar.end()[0] == 0
