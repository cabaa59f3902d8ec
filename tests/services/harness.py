"""The three services behind a real gRPC server on a Unix socket, with real stubs and messages as Envoy sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.core.authentication import Authentication
from extproc.core.chain import Link, PolicyChain
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.handover import NOTHING_MORE, Handover
from extproc.core.limits import Limit
from extproc.core.names import CALL_ADDRESS, REVISION, ROUTE, TOLD_ADDRESS
from extproc.core.policy import Authenticator, Policy
from extproc.core.ports import CounterStore
from extproc.core.processing import BodyMode, Processing, Side
from extproc.core.record import DecisionRecord
from extproc.services import ext_authz, ext_proc, ratelimit
from extproc.services.server import Server
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, FakeRecorder
from extproc.wire.auth_pb2 import AttributeContext, CheckRequest, CheckResponse
from extproc.wire.base_pb2 import Address, HeaderMap, HeaderValue, SocketAddress
from extproc.wire.process_pb2 import ProcessingRequest, ProcessingResponse
from extproc.wire.ratelimit_pb2 import RateLimitRequest, RateLimitResponse

NAME = "orders"
PLAN = "r1"
ANSWERS = Processing(response=Side(headers=True))
WHOLE = Processing(response=Side(headers=True, body=BodyMode.BUFFERED))
SPELL_CHECK: Callable[[CheckRequest], bytes] = CheckRequest.SerializeToString
SPELL_PROCESSING: Callable[[ProcessingRequest], bytes] = ProcessingRequest.SerializeToString
Metadata = Sequence[tuple[str, str]]
Stream = grpc.aio.StreamStreamCall[ProcessingRequest, ProcessingResponse]


def chain(
    *policies: Policy,
    methods: Sequence[Authenticator] = (),
    response: Sequence[Policy] = (),
    forward: Sequence[Policy] = (),
    stream: Sequence[Policy] = (),
    upstreams: Iterable[str] = (),
) -> PolicyChain:
    who = (Link("authenticate", Authentication(tuple(methods)), authenticates=True),) if methods else ()
    links = (*who, *(Link(f"policy-{index}", policy) for index, policy in enumerate(policies)))
    backwards = tuple(Link(f"response-{index}", policy) for index, policy in enumerate(response))
    return PolicyChain(
        NAME, links, FakeClock(), backwards, frozenset(upstreams),
        forward_links=tuple(Link(f"forward-{index}", policy) for index, policy in enumerate(forward)),
        stream_links=tuple(Link(f"stream-{index}", policy) for index, policy in enumerate(stream)),
    )  # fmt: skip


def gateway(
    judged: PolicyChain | None = None,
    *,
    shown: Processing = ANSWERS,
    handover: Handover = NOTHING_MORE,
    limits: Mapping[tuple[str, str], Limit] | None = None,
) -> Gateway:
    return Gateway(PLAN, {NAME: ServedRoute(judged or chain(), shown, handover)}, dict(limits or {}))


@dataclass(slots=True)
class Rig:
    """One worker's server with a client. `current` is the plan in force."""

    current: Callable[[], Gateway]
    path: Path
    counters: CounterStore | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    recorder: FakeRecorder = field(default_factory=FakeRecorder)
    server: Server = field(init=False)
    channel: grpc.aio.Channel = field(init=False)

    async def start(self) -> Self:
        store = self.counters or MemoryCounters(self.clock)
        services = (
            ext_authz.ExtAuthz(self.current, self.clock, self.recorder),
            ratelimit.RateLimit(self.current, store, self.clock, self.recorder),
            ext_proc.ExtProc(self.current, self.clock, self.recorder),
        )
        self.server = Server(str(self.path), [service.handler() for service in services])
        await self.server.start()
        await self.server.serve()
        self.channel = grpc.aio.insecure_channel(f"unix:{self.path}")
        return self

    async def stop(self) -> None:
        await self.channel.close()
        await self.server.stop(0)

    @property
    def records(self) -> list[DecisionRecord]:
        return self.recorder.records

    def calling_check(
        self, request: CheckRequest, metadata: Metadata = ()
    ) -> grpc.aio.UnaryUnaryCall[CheckRequest, CheckResponse]:
        method = f"/{ext_authz.SERVICE}/Check"
        stub = self.channel.unary_unary(method, SPELL_CHECK, CheckResponse.FromString)
        return stub(request, timeout=20, metadata=tuple(metadata))

    async def check(self, request: CheckRequest, metadata: Metadata = ()) -> CheckResponse:
        return await self.calling_check(request, metadata)

    async def should_rate_limit(self, request: RateLimitRequest, metadata: Metadata = ()) -> RateLimitResponse:
        method = f"/{ratelimit.SERVICE}/ShouldRateLimit"
        stub = self.channel.unary_unary(method, RateLimitRequest.SerializeToString, RateLimitResponse.FromString)
        return await stub(request, timeout=20, metadata=tuple(metadata))

    def process(self, metadata: Metadata = ()) -> Stream:
        method = f"/{ext_proc.SERVICE}/Process"
        stub = self.channel.stream_stream(method, SPELL_PROCESSING, ProcessingResponse.FromString)
        return stub(timeout=20, metadata=tuple(metadata))

    async def health(self) -> int:
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        return int(answer.status)


async def settled(count: int) -> None:
    """Returns when no more tasks than that are left. grpc's own are among them: a server always has one that waits."""
    async with asyncio.timeout(20):
        while len(tasks := asyncio.all_tasks()) > count:
            await asyncio.wait(tasks - {asyncio.current_task()}, return_when=asyncio.FIRST_COMPLETED)


def raw(fields: Iterable[tuple[str, bytes]]) -> HeaderMap:
    return HeaderMap(headers=[HeaderValue(key=name, raw_value=value) for name, value in fields])


def check_request(
    *fields: tuple[str, bytes],
    route: str | None = NAME,
    revision: str = PLAN,
    path: str = "/orders/7",
    plain: Mapping[str, str] | None = None,
    told: bool = False,
) -> CheckRequest:
    """As the generated Envoy asks; with `plain` as one that does not encode raw headers, `told` as one that stands
    behind proxies that it trusts."""
    seen = ((":path", path.encode()), (":method", b"GET"), ("x-request-id", b"id-1"), *fields)
    stamp = {REVISION: revision} | ({ROUTE: route} if route is not None else {})
    stamp |= {TOLD_ADDRESS: CALL_ADDRESS} if told else {}
    http = AttributeContext.HttpRequest(
        id="stream-1", method="GET", path=path, host="shop.example", scheme="https", size=-1,
        headers=plain or {}, header_map=None if plain else raw(seen),
    )  # fmt: skip
    source = AttributeContext.Peer(address=Address(socket_address=SocketAddress(address="192.0.2.7")))
    asked = AttributeContext.Request(http=http)
    return CheckRequest(attributes=AttributeContext(source=source, request=asked, context_extensions=stamp))
