"""Answers that are edited as they pass: nothing waits for the end, and whoever goes away leaves nothing behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, IncompleteRead
from typing import Any, Final

import pytest

from tests.e2e.clients import request
from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually

pytestmark = pytest.mark.e2e

EVENTS: Final = 10_000
POLICIES: Final = '''
from typing import ClassVar

from extproc import BodyEditor, Context, Phase, Policy, Ports, Request, Response, Settings


class Nothing(Settings):
    """Nothing to set."""


class Breaking(BodyEditor):
    async def feed(self, piece: bytes) -> bytes:
        if b"7" in piece:
            raise ValueError("s3cret")
        return piece


class Cutting(BodyEditor):
    async def feed(self, piece: bytes) -> bytes:
        self.ended = b"7" in piece
        return b"data: over\\n\\n" if self.ended else piece


class Breaks(Policy):
    name: ClassVar[str] = "breaks"
    Settings: ClassVar[type[Nothing]] = Nothing
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.RESPONSE_STREAM})

    @staticmethod
    def build(settings, ports):
        return Breaks()

    async def on_stream(self, response: Response, request: Request, context: Context):
        return Breaking()


class Cuts(Breaks):
    name: ClassVar[str] = "cuts"

    @staticmethod
    def build(settings, ports):
        return Cuts()

    async def on_stream(self, response: Response, request: Request, context: Context):
        return Cutting()
'''
GATEWAY: Final = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - name: events
    match: {path_prefix: /events}
    upstream: main
    stream: true
    policies: [{use: transform, response: {events: {json: {set: {n: event.json.n + 1}}}}}]
  - {name: breaking, match: {path_prefix: /breaking}, upstream: main, stream: true, policies: [{use: breaks}]}
  - {name: cutting, match: {path_prefix: /cutting}, upstream: main, stream: true, policies: [{use: cuts}]}
  - """
    + FENCE
)


class Streaming:
    """An upstream that sends an event only when it is told to, and knows when its client has gone."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._server.getsockname())
        self.name = "main"
        self._connection: socket.socket | None = None

    def accept(self) -> None:
        self.leave()
        self._server.settimeout(15)
        self._connection, _ = self._server.accept()
        self._connection.settimeout(15)
        self._connection.recv(65536)
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
        head += "transfer-encoding: chunked\r\n\r\n"
        self._connection.sendall(head.encode())

    def send(self, piece: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    def end(self) -> None:
        assert self._connection is not None
        self._connection.sendall(b"0\r\n\r\n")
        self.leave()

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def is_left(self) -> bool:
        """Waits for the other side to close."""
        assert self._connection is not None
        try:
            return self._connection.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.leave()
        self._server.close()


@pytest.fixture(scope="module")
def main() -> Iterator[Streaming]:
    upstream = Streaming()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(main: Streaming) -> Iterator[RunningGateway]:
    running = RunningGateway(GATEWAY, [main])  # type: ignore[list-item]  # it has the two things that are asked of one
    (running.folder / "policies").mkdir()
    (running.folder / "policies" / "streams.py").write_text(POLICIES)
    with running:
        yield running


@contextmanager
def asked(gateway: RunningGateway, main: Streaming, path: str) -> Iterator[tuple[socket.socket, HTTPResponse]]:
    """A request that has got its headers, and nothing of the body yet."""
    with gateway.client.connected() as connection:
        connection.sendall(request("GET", path, ("host", "gateway.test"), FREE))
        main.accept()
        reply = HTTPResponse(connection, method="GET")
        reply.begin()
        assert reply.status == 200
        yield connection, reply


def event(n: int) -> bytes:
    return b'data: {"n":%d}\n\n' % n


def test_every_event_arrives_before_the_next_one_is_sent(gateway: RunningGateway, main: Streaming) -> None:
    """By order and not by time: the upstream sends an event when the client has the one before."""
    with asked(gateway, main, "/events") as (_, reply):
        for n in range(100):
            main.send(event(n))
            assert reply.readline() + reply.readline() == event(n + 1)
        main.end()
        assert reply.read() == b""


def test_the_first_of_ten_thousand_events_is_there_before_the_last_is_sent(
    gateway: RunningGateway, main: Streaming
) -> None:
    with asked(gateway, main, "/events") as (_, reply):
        main.send(event(0))
        assert reply.readline() + reply.readline() == event(1)
        sender = threading.Thread(target=send_rest, args=(main,))
        sender.start()
        told = reply.read()
        sender.join(15)
        assert told == b"".join(event(n + 1) for n in range(1, EVENTS))


def send_rest(main: Streaming) -> None:
    for n in range(1, EVENTS, 100):
        main.send(b"".join(event(m) for m in range(n, min(n + 100, EVENTS))))
    main.end()


def test_an_event_in_two_pieces_waits_for_its_end_and_others_do_not(gateway: RunningGateway, main: Streaming) -> None:
    with asked(gateway, main, "/events") as (_, reply):
        main.send(event(1) + b'data: {"n"')
        assert reply.readline() + reply.readline() == event(2)
        main.send(b":2}\n\n")
        assert reply.readline() + reply.readline() == event(3)
        main.end()


def test_a_client_that_goes_away_ends_the_stream_and_the_upstreams_work(
    gateway: RunningGateway, main: Streaming
) -> None:
    for _ in range(5):
        with asked(gateway, main, "/events") as (connection, reply):
            main.send(event(1))
            assert reply.readline() + reply.readline() == event(2)
            connection.shutdown(socket.SHUT_RDWR)
        assert main.is_left()
    active = "cluster.extproc.sidecar.upstream_rq_active"
    eventually(lambda: gateway.stat(active) == 0, "no stream to the sidecar is left")


def test_an_answer_that_cannot_be_edited_further_is_broken_off_and_never_looks_whole(
    gateway: RunningGateway, main: Streaming
) -> None:
    with asked(gateway, main, "/breaking") as (_, reply):
        main.send(event(1))
        assert reply.readline() + reply.readline() == event(1)
        main.send(event(7))
        with pytest.raises((ConnectionResetError, IncompleteRead)):
            reply.read()
    record = eventually(lambda: next(failures(gateway), None), "a record of what failed")
    assert record["service"] == "ext_proc"
    assert "s3cret" not in json.dumps(record)


def failures(gateway: RunningGateway) -> Iterator[dict[str, Any]]:
    return (one for one in gateway.decisions() if (one["route"], one["result"]) == ("breaking", "error"))


def test_an_answer_that_a_policy_ends_is_whole_and_its_upstream_is_left(
    gateway: RunningGateway, main: Streaming
) -> None:
    with asked(gateway, main, "/cutting") as (_, reply):
        main.send(event(1))
        assert reply.readline() + reply.readline() == event(1)
        main.send(event(7))
        assert reply.read() == b"data: over\n\n"
        assert main.is_left()
