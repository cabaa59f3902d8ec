"""Exactly one reply a message, whatever comes in whatever order (ACCEPTANCE 36): every short sequence, not a sample."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import NoReturn

import grpc

from extproc.services.ext_proc import ExtProc
from extproc.testing import FakeClock, FakeRecorder
from extproc.wire.process_pb2 import HttpHeaders, HttpTrailers, ProcessingRequest
from tests.services.fakes import Answers
from tests.services.harness import WHOLE, chain, gateway
from tests.services.playbook import about, response_body, response_headers


class AbortedError(Exception):
    """What grpc raises to end a call."""


class Stream:
    """A server's side of a stream, without a server."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.OK

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.code = code
        raise AbortedError


KINDS = {
    "R": ProcessingRequest(request_headers=HttpHeaders()),
    "H": response_headers(),
    "X": response_headers(end=True),
    "B": response_body(b"body"),
    "P": response_body(b"bo", end=False),
    "T": ProcessingRequest(response_trailers=HttpTrailers()),
    "E": ProcessingRequest(),
}
COMPLETE = {"X", "HB", "RX", "RHB"}


async def _messages(kinds: tuple[str, ...]) -> AsyncIterator[ProcessingRequest]:
    for index, kind in enumerate(kinds):
        yield KINDS[kind] if index else about(KINDS[kind])


async def _led(service: ExtProc, kinds: tuple[str, ...]) -> tuple[list[str | None], grpc.StatusCode]:
    stream = Stream()
    replies: list[str | None] = []
    with contextlib.suppress(AbortedError):
        async for reply in service.process(_messages(kinds), stream):  # type: ignore[arg-type]
            replies += [reply.WhichOneof("response")]
    return replies, stream.code


async def test_every_sequence_of_five_messages_gets_one_reply_a_message_until_it_is_complete_or_aborted() -> None:
    plan = gateway(chain(response=[Answers()]), shown=WHOLE)
    service = ExtProc(lambda: plan, FakeClock(), FakeRecorder())
    names = {"R": "request_headers", "H": "response_headers", "X": "response_headers", "B": "response_body"}
    for length in range(6):
        for kinds in itertools.product(KINDS, repeat=length):
            told = "".join(kinds)
            legal = max(n for n in range(length + 1) if any(whole.startswith(told[:n]) for whole in COMPLETE))
            replies, code = await _led(service, kinds)
            assert replies == [names[kind] for kind in kinds[:legal]], told
            assert (code is grpc.StatusCode.OK) == (told in COMPLETE), told
