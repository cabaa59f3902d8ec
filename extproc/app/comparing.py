"""Shadows that are compared: both versions are asked beside the request, and nobody waits for either.

Bounded in number, in bytes and in time: what there is no room for is dropped, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from extproc.core.comparing import Compared, Comparison, Told, compare
from extproc.core.errors import ProviderUnavailable
from extproc.core.message import Request
from extproc.core.names import SHADOW_HEADER
from extproc.core.ports import Answer, Call, Clock, Expression, Fetch
from extproc.core.specs import ChooseSpec
from extproc.plan.model import Plan

SHADOW_COMPARED: Final = "shadow_compared"
MICROSECOND: Final = 1_000
WAITING: Final = 100
WAITING_BYTES: Final = 16 * 1024 * 1024
AT_ONCE: Final = 4
# Of one connection (RFC 9110 §7.6.1), or said anew by whoever sends the body; and a coding that nobody could read.
LEFT_OUT: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "accept-encoding"}
)


@dataclass(frozen=True, slots=True)
class Compares:
    """What is compared of one model. `addresses` are its versions' endpoints."""

    spec: ChooseSpec
    fields: Mapping[str, Expression]
    addresses: Mapping[str, tuple[str, ...]]
    timeout: float


def compares(plan: Plan, expression: Callable[[str], Expression]) -> dict[str, Compares]:
    """Of the models whose shadows are compared; none, and nobody needs a Comparer."""
    return {
        name: Compares(
            spec,
            {field: expression(text) for field, text in spec.shadow.compare.fields},
            {one.name: tuple(map(str, plan.upstreams[one.upstream].endpoints)) for one in spec.versions},
            spec.shadow.compare.timeout,
        )
        for name, spec in plan.models.items()
        if spec.shadow is not None and spec.shadow.compare is not None
    }


class Comparer:
    """Takes comparisons at once, and makes them when it can."""

    def __init__(
        self,
        models: Mapping[str, Compares],
        fetch: Fetch,
        clock: Clock,
        tell: Callable[[Compared], None],
        drop: Callable[[str], None],
    ) -> None:
        """`tell` hears of each that was made, `drop` the model of each that was not."""
        self._models = models
        self._fetch = fetch
        self._clock = clock
        self._tell = tell
        self._drop = drop
        self._waiting: asyncio.Queue[Comparison] = asyncio.Queue(WAITING)
        self._bytes = 0
        self._turn = 0

    def put(self, comparison: Comparison) -> None:
        if self._waiting.full() or self._bytes + comparison.weight > WAITING_BYTES:
            self._drop(comparison.model)
            return
        self._bytes += comparison.weight
        self._waiting.put_nowait(comparison)

    async def tend(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    def ready(self) -> bool:
        return True

    async def _work(self) -> None:
        while True:
            comparison = await self._waiting.get()
            self._bytes -= comparison.weight
            try:
                await self.make(comparison)
            except Exception:  # noqa: BLE001 - whatever an answer holds, it must not end the process that decides
                self._drop(comparison.model)

    async def make(self, comparison: Comparison) -> None:
        model = self._models[comparison.model]
        if model.spec.shadow is None:
            raise ValueError(f"the model {comparison.model} has no shadow")
        chosen, shadow = await asyncio.gather(
            self._ask(model, comparison.chosen, comparison.request),
            self._ask(model, model.spec.shadow.version, comparison.request),
        )
        self._tell(
            Compared(comparison, chosen, shadow, compare(model.fields, comparison, chosen.answer, shadow.answer))
        )

    async def _ask(self, model: Compares, version: str, request: Request) -> Told:
        """One endpoint after the other has its turn."""
        addresses = model.addresses[version]
        self._turn += 1
        started = self._clock.monotonic()
        try:
            answer: Answer | None = await self._fetch.send(
                call_of(request, addresses[self._turn % len(addresses)], model.timeout)
            )
        except ProviderUnavailable:
            answer = None
        return Told(version, answer, self._clock.monotonic() - started)


def call_of(request: Request, address: str, timeout: float) -> Call:
    """The request once more, as it reached the upstream, and marked as a copy."""
    kept = [(name, value) for name, value in request.headers if name not in LEFT_OUT]
    query = f"?{request.query}" if request.query else ""
    return Call(
        url=f"http://{address}{request.path}{query}",
        method=request.method,
        headers=(("host", request.host), *kept, (SHADOW_HEADER, "true")),
        body=request.body or b"",
        timeout=timeout,
    )


def told_of(compared: Compared) -> dict[str, object]:
    """For the log."""
    comparison, chosen, shadow = compared.comparison, compared.chosen, compared.shadow
    return {
        "model": comparison.model,
        "route": comparison.route,
        "request_id": comparison.request.id,
        "chosen": _told(chosen),
        "shadow": _told(shadow),
        "fields": dict(compared.fields),
    }


def _told(told: Told) -> dict[str, object]:
    return {
        "version": told.version,
        "status": told.answer.status if told.answer else 0,
        "duration_us": told.duration // MICROSECOND,
    }
