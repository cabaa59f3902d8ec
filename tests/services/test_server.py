"""The socket of one worker: whose it is, who may use it, and when it is there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.services.server import NOT_SERVING, SERVING, Server, SocketInUse, is_live
from tests.services.conftest import Serve
from tests.services.fakes import Answers, Holds
from tests.services.harness import Rig, chain, check_request, gateway, settled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker-0.a.sock"


@contextlib.asynccontextmanager
async def started(path: Path) -> AsyncIterator[Server]:
    server = Server(str(path), [])
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@contextlib.contextmanager
def listening(path: Path, backlog: int = 8) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen(backlog)
        yield held


async def health(path: Path, service: str = "") -> int:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20, wait_for_ready=True)
        return int(answer.status)


async def test_the_socket_is_for_its_owner_and_its_group(path: Path) -> None:
    async with started(path):
        mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_the_socket_is_gone_after_the_stop(path: Path) -> None:
    async with started(path):
        assert is_live(str(path))
    assert not path.exists()


async def test_what_a_dead_process_left_is_taken_over(path: Path) -> None:
    with listening(path):
        pass
    assert path.exists()
    assert not is_live(str(path))
    async with started(path) as server:
        await server.serve()
        assert await health(path) == SERVING


async def test_a_live_socket_is_refused_and_stays_where_it_is(path: Path) -> None:
    with listening(path):
        before = path.stat().st_ino
        with pytest.raises(SocketInUse, match=f"another sidecar serves {path}"):
            await Server(str(path), []).start()
        assert path.stat().st_ino == before
        assert is_live(str(path))


async def test_a_live_socket_that_is_too_busy_to_answer_is_refused_as_well(path: Path) -> None:
    with listening(path, backlog=0), socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(str(path))  # nobody accepts it: the queue is full
        with pytest.raises(SocketInUse):
            await Server(str(path), []).start()
        assert path.exists()


async def test_a_second_server_leaves_the_first_alone(path: Path) -> None:
    async with started(path) as first:
        await first.serve()
        with pytest.raises(SocketInUse):
            await Server(str(path), []).start()
        assert await health(path) == SERVING


@pytest.mark.parametrize("name", ["missing/worker.sock", "x" * 120 + ".sock"])
async def test_a_socket_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=rf"the socket .*{name} cannot be made"):
        await Server(str(tmp_path / name), []).start()


async def test_a_server_does_not_serve_before_it_is_told_to(path: Path) -> None:
    async with started(path) as server:
        assert await health(path) == NOT_SERVING
        await server.serve()
        assert await health(path) == SERVING


async def test_the_health_of_another_service_is_not_known(path: Path) -> None:
    async with started(path):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await health(path, "anything")
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watching_the_health_of_any_name_leaves_nothing_behind(path: Path) -> None:
    async with started(path) as server, grpc.aio.insecure_channel(f"unix:{path}") as channel:
        await channel.channel_ready()
        before = len(asyncio.all_tasks())
        stub = health_pb2_grpc.HealthStub(channel)
        calls = [stub.Watch(health_pb2.HealthCheckRequest(service=f"name-{index}")) for index in range(50)]
        for call in calls:
            await call.read()
        assert len(server._health._server_watchers) == 50
        for call in calls:
            call.cancel()
        await settled(before)
        assert not server._health._server_watchers


async def _held(rig: Rig, policy: Holds) -> asyncio.Future[int]:
    """A check under way. Its result is the status code that it gets."""

    async def check() -> int:
        return (await rig.check(check_request())).status.code

    under_way = asyncio.ensure_future(check())
    await asyncio.wait_for(policy.begun.wait(), 10)
    return under_way


async def test_a_stop_is_told_at_once_and_calls_under_way_are_finished(serve: Serve) -> None:
    policy = Holds()
    rig = await serve(gateway(chain(policy)))
    watching = health_pb2_grpc.HealthStub(rig.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watching.read()).status == SERVING
    under_way = await _held(rig, policy)
    stopping = asyncio.ensure_future(rig.server.stop(10))
    assert (await asyncio.wait_for(watching.read(), 10)).status == NOT_SERVING
    assert not stopping.done()
    assert not under_way.done()
    watching.cancel()
    policy.let_go.set()
    assert await under_way == 0
    await stopping


async def test_a_call_that_outlasts_the_grace_is_ended(serve: Serve) -> None:
    policy = Holds()
    rig = await serve(gateway(chain(policy)))
    under_way = await _held(rig, policy)
    await asyncio.wait_for(rig.server.stop(0.05), 10)
    with pytest.raises(grpc.aio.AioRpcError):
        await under_way
    assert rig.records[0].detail == "the call was cancelled"


async def test_the_end_of_a_server_does_not_unlink_its_successors_socket(serve: Serve) -> None:
    policy = Holds()
    rig = await serve(gateway(chain(policy)))
    under_way = await _held(rig, policy)
    stopping = asyncio.ensure_future(rig.server.stop(10))
    async with asyncio.timeout(10):
        while is_live(str(rig.path)):
            await asyncio.wait({under_way}, timeout=0.01)
    successor = await Rig(lambda: gateway(chain(Answers())), rig.path).start()
    policy.let_go.set()
    assert await under_way == 0
    await stopping
    assert (await successor.check(check_request())).status.code == 0
    assert is_live(str(rig.path))
    await successor.stop()
    assert not rig.path.exists()
