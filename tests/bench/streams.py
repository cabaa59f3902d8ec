"""What a metered stream costs: each event, in the sidecar's own code and on its way through the gateway, and how much
later than from its upstream the first one is there. `python -m tests.bench.streams`; `--alone` without Envoy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

from extproc.core.calendar import Calendar, Unit
from extproc.core.headers import Headers
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per
from extproc.core.message import Request, Response
from extproc.core.metering import STYLES, Meter, Style, parse_places
from extproc.core.policy import Context, Policy
from extproc.core.reservation import Reservation
from extproc.core.streams import BodyEditor
from extproc.policies.meter import MeterKind
from extproc.policies.transform import Transform, TransformSettings
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, fake_ports
from tests.e2e.clients import Client
from tests.e2e.harness import HEAD, RunningGateway
from tests.e2e.talkers import DONE, Talker, asked, chunk

BUDGET: Final = Limit(
    "tokens", "route/chat", Per.ROUTE, 10**9, 3_600, 10**9, Kind.BUDGET, Calendar(Unit.HOUR)
)  # of which no step is refused
ANSWER: Final = Response(200, Headers((("content-type", "text/event-stream"),)))
PIECE: Final = 20  # events that arrive together
GATEWAY: Final = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: none, limits: []}
routes:
  - {name: plain, match: {path: /plain}, upstream: main, stream: true}
  - name: metered
    match: {path: /metered}
    upstream: main
    stream: true
    limits: [{per: route, tokens: 1000000000/hour}]
    meter: openai
"""
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streams", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=50, help="how often a first event is waited for")
    parser.add_argument("--alone", action="store_true", help="the sidecar's own code alone, without Envoy")
    asked_for = parser.parse_args(arguments)
    said = asyncio.run(_alone(asked_for.events))
    if not asked_for.alone:
        said |= _through_envoy(asked_for.events, asked_for.times)
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in said.items()}, indent=2) + "\n")
    return 0


async def _alone(events: int) -> dict[str, float]:
    """Microseconds an event, metered and edited; and how many events there are for each question to the counters."""
    clock = FakeClock()
    store = Counting(clock)
    ports = fake_ports(clock=clock, counters=store)
    words = STYLES[Style.OPENAI]
    meter = MeterKind.build(
        Meter(Style.OPENAI, tuple(map(parse_places, words.usage)), tuple(parse_places(one)[0] for one in words.text)),
        ports,
    )
    edits = {"response": {"events": {"json": {"set": {"n": "event.json.created + 1"}}}}}
    edit = Transform.build(TransformSettings.model_validate(edits), ports)
    counter = Counter(BUDGET, ())
    await store.hit(Charge((Hit(counter),), "s1"))
    held = Reservation("s1", {counter: 1}, until=2**40)
    context = Context("chat", None, 4096, held)
    metered = await _microseconds(meter, context, events)
    return {
        "metered_us": metered,
        "edited_us": await _microseconds(edit, context, events),
        "events_a_question": events / max(1, store.asked),
    }


class Counting(MemoryCounters):
    """Says how often it was asked."""

    asked = 0

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        self.asked += 1
        return await super().hit(charge)


async def _microseconds(policy: Policy, context: Context, events: int) -> float:
    editor = await policy.on_stream(ANSWER, Request("POST", "/", size=100), context)
    assert isinstance(editor, BodyEditor)
    piece = chunk("abcd") * PIECE
    begun = time.perf_counter()
    for _ in range(events // PIECE):
        await editor.feed(piece)
    return (time.perf_counter() - begun) / events * 1e6


def _through_envoy(events: int, times: int) -> dict[str, float]:
    upstream = Talker()
    try:
        with RunningGateway(GATEWAY, [upstream]) as gateway:  # type: ignore[list-item]  # what is asked of one
            client = gateway.client
            direct = Client(int(upstream.address.rpartition(":")[2]))
            first = {name: _first(upstream, of, times) for name, of in _ways(client, direct).items()}
            whole = {path: _events_a_second(upstream, client, path, events) for path in ("/plain", "/metered")}
    finally:
        upstream.close()
    delays = [through - bare for through, bare in zip(first["metered"], first["direct"], strict=True)]
    return {
        "first_byte_from_the_upstream_ms": statistics.median(first["direct"]),
        "first_byte_through_a_plain_route_ms": statistics.median(first["plain"]),
        "first_byte_metered_ms": statistics.median(first["metered"]),
        "first_byte_later_ms_median": statistics.median(delays),
        "first_byte_later_ms_p99": sorted(delays)[int(len(delays) * 0.99)],
        "events_a_second_plain": whole["/plain"],
        "events_a_second_metered": whole["/metered"],
    }


def _ways(client: Client, direct: Client) -> dict[str, tuple[Client, str]]:
    return {"direct": (direct, "/"), "plain": (client, "/plain"), "metered": (client, "/metered")}


def _first(upstream: Talker, way: tuple[Client, str], times: int) -> list[float]:
    """Milliseconds from the moment at which the upstream sends an event, its headers being there, until it is read."""
    found: list[float] = []
    for _ in range(times):
        with asked(way[0], way[1]) as (connection, reply):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            exchange = upstream.accept()
            exchange.begin()
            reply.begin()
            begun = time.perf_counter()
            exchange.send(chunk("abcd"))
            reply.readline()
            found.append((time.perf_counter() - begun) * 1e3)
            exchange.send(DONE)
            exchange.end()
            reply.read()
    return found


def _events_a_second(upstream: Talker, client: Client, path: str, events: int) -> float:
    with asked(client, path) as (_, reply):
        exchange = upstream.accept()
        exchange.begin()
        reply.begin()
        piece = chunk("abcd") * PIECE
        begun = time.perf_counter()
        for _ in range(events // PIECE):
            exchange.send(piece)
            for _ in range(2 * PIECE):
                reply.readline()
        took = time.perf_counter() - begun
        exchange.send(DONE)
        exchange.end()
        reply.read()
    return events / took


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
