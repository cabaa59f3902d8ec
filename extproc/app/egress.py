"""The way back through Envoy: what an upstream gets of an aggregate's call, and how many requests may make theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from extproc.core.decision import CONTINUE
from extproc.core.errors import Overloaded
from extproc.core.handover import Handover
from extproc.core.headers import Headers
from extproc.core.message import Consumer
from extproc.core.names import EGRESS_PART, EGRESS_UPSTREAM, egress_host, egress_part, egress_socket
from extproc.core.ports import Answer, Call, Fetch, TokenSigner
from extproc.core.specs import PartSpec
from extproc.fetch import SocketFetch
from extproc.plan.model import Plan, RoutePlan, ToAggregate

# Each holds its parts, 16 of 1 MiB by default at the worst: a slow upstream must not take the sidecar's memory.
AT_ONCE: Final = 64


class Egress:
    """`handovers` say what each part's upstream gets besides, by the part's way."""

    def __init__(self, fetch: Fetch, handovers: Mapping[str, Handover], at_once: int = AT_ONCE) -> None:
        self._fetch = fetch
        self._handovers = handovers
        self._at_once = at_once
        self._entered = 0

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        if self._entered >= self._at_once:
            raise Overloaded(f"{self._at_once} answers are being put together already")
        self._entered += 1
        try:
            yield
        finally:
            self._entered -= 1

    async def send(self, route: str, part: PartSpec, call: Call, consumer: Consumer | None) -> Answer:
        way = egress_part(route, part.name)
        handed = self._handovers[way].hand(CONTINUE, consumer, Headers())
        own = {name for name, _ in handed.fields}
        fields = (
            *(field for field in call.headers if field[0] not in own),
            *handed.fields,
            (EGRESS_UPSTREAM, egress_host(part.upstream)),
            (EGRESS_PART, way),
        )
        return await self._fetch.send(replace(call, headers=fields))


def egress_of(plan: Plan, signer: TokenSigner | None) -> tuple[Egress, SocketFetch]:
    """With what is to be closed at the end."""
    fetch = SocketFetch(egress_socket(plan.sidecar.folder))
    return Egress(fetch, part_handovers(plan, signer)), fetch


def part_handovers(plan: Plan, signer: TokenSigner | None) -> Mapping[str, Handover]:
    """As a route to each part's upstream would have it."""
    return MappingProxyType(
        {
            egress_part(route.name, part.name): _handover(plan, route, part, signer)
            for route in plan.routes
            if isinstance(route.target, ToAggregate)
            for part in route.target.spec.parts
        }
    )


def _handover(plan: Plan, route: RoutePlan, part: PartSpec, signer: TokenSigner | None) -> Handover:
    credential = plan.upstreams[part.upstream].credential
    shown = {} if credential is None else {part.upstream: credential}
    return Handover(part.upstream, signer if route.forward.signed else None, shown)
