"""Bytes that are no message of ours: refused and recorded like a call that names no route, by every service."""

from __future__ import annotations

import logging
from collections.abc import Callable

import grpc
import pytest

from extproc.core.names import CALL_REQUEST_ID
from extproc.core.record import Result
from extproc.services import ext_authz, ext_proc, ratelimit
from extproc.wire.auth_pb2 import CheckResponse
from tests.services.conftest import Serve
from tests.services.descriptors import LIMITS
from tests.services.fakes import Answers
from tests.services.harness import Rig, chain, gateway

UNREADABLE = [
    b"\xff",  # no field
    b"\x0a\xff\xff\xff\xff\x0f",  # a field that is longer than the message
    b"\x0a\x02\x0a",  # cut off
    b"\x0b",  # a group that does not end
]
METADATA = ((CALL_REQUEST_ID, "id-7"),)
AS_IT_IS: Callable[[bytes], bytes] = bytes


async def served(serve: Serve) -> Rig:
    return await serve(gateway(chain(Answers(), response=[Answers()]), limits=LIMITS))


def recorded(rig: Rig, caplog: pytest.LogCaptureFixture) -> tuple[Result, str]:
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
    (record,) = rig.records
    return record.result, record.service


@pytest.mark.parametrize("wire", UNREADABLE)
async def test_a_check_is_denied(serve: Serve, caplog: pytest.LogCaptureFixture, wire: bytes) -> None:
    rig = await served(serve)
    method = rig.channel.unary_unary(f"/{ext_authz.SERVICE}/Check", AS_IT_IS, CheckResponse.FromString)
    answer = await method(wire, timeout=20, metadata=METADATA)
    assert (answer.status.code, answer.denied_response.status.code) == (7, 503)
    assert recorded(rig, caplog) == (Result.ERROR, "ext_authz")


@pytest.mark.parametrize("wire", UNREADABLE)
async def test_a_rate_limit_call_is_unavailable(serve: Serve, caplog: pytest.LogCaptureFixture, wire: bytes) -> None:
    rig = await served(serve)
    method = rig.channel.unary_unary(f"/{ratelimit.SERVICE}/ShouldRateLimit", AS_IT_IS, AS_IT_IS)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await method(wire, timeout=20, metadata=METADATA)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert recorded(rig, caplog) == (Result.ERROR, "ratelimit")


@pytest.mark.parametrize("wire", UNREADABLE)
async def test_a_stream_is_aborted(serve: Serve, caplog: pytest.LogCaptureFixture, wire: bytes) -> None:
    rig = await served(serve)
    method = rig.channel.stream_stream(f"/{ext_proc.SERVICE}/Process", AS_IT_IS, AS_IT_IS)
    stream = method(timeout=20, metadata=METADATA)
    await stream.write(wire)
    assert await stream.code() is not grpc.StatusCode.OK
    assert recorded(rig, caplog) == (Result.ERROR, "ext_proc")
