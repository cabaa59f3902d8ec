"""The kind: what it needs to see, and what it says of each message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final

from extproc import (
    CONTINUE,
    MODEL_FALLBACK,
    MODEL_VERSION,
    BodyEditor,
    Clock,
    Context,
    CounterStore,
    Decision,
    Ended,
    Framing,
    Meter,
    Phase,
    Policy,
    Ports,
    Request,
    Reservation,
    Response,
    TokenTally,
    loads_strictly,
    rate_limited,
    refusal,
)

from .account import Account, refusing, reserve
from .editors import StreamMeter, WholeMeter

IDENTITY: Final = ("", "identity")
UNREADABLE: Final = "the body says how many tokens its answer may have, and cannot be read"


def _phases(meter: Meter) -> frozenset[Phase]:
    """A request is shown where it says how much is to be reserved, and only then."""
    return frozenset({Phase.RESPONSE_STREAM, *([Phase.REQUEST_BODY] if meter.reserve else [])})


@dataclass(frozen=True, slots=True)
class MeterKind(Policy):
    meter: Meter
    store: CounterStore
    clock: Clock
    tokens: TokenTally
    chance: Callable[[], float]

    name: ClassVar[str] = "meter"
    Settings: ClassVar[type[Meter]] = Meter
    phases: ClassVar[Any] = staticmethod(_phases)

    @staticmethod
    def build(settings: Meter, ports: Ports) -> Policy:
        return MeterKind(settings, ports.counters, ports.clock, ports.tokens, ports.chance)

    async def on_forward(self, request: Request, context: Context) -> Decision:
        """What is beyond the budget before its first token is refused, and reaches no upstream."""
        if not request.body or context.reservation is None:
            return CONTINUE
        try:
            document = loads_strictly(request.body)
        except ValueError:
            return refusal(HTTPStatus.BAD_REQUEST, "unreadable_body", UNREADABLE)
        asked = self.meter.asked(document) if isinstance(document, dict) else 0
        if not asked:
            return CONTINUE
        return await self._reserved(context.reservation, asked + self.meter.tokens_in(len(request.body)))

    async def _reserved(self, reservation: Reservation, wanted: int) -> Decision:
        if reservation.covers(wanted):
            return CONTINUE
        states = await reserve(self.store, reservation, wanted)
        return CONTINUE if refusing(states) is None else rate_limited(states, chance=self.chance())

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        """An answer that is an error costs nothing. One that nobody here can read would pass unmetered."""
        if _is_good(response) and not (_is_metered(response) and _is_coded(response)):
            return CONTINUE
        await self._account(response, context).settle(0, Ended.SAID)
        if _is_good(response):
            return refusal(HTTPStatus.BAD_GATEWAY, "unreadable_answer", "the answer cannot be read here")
        return CONTINUE

    async def on_stream(self, response: Response, request: Request, context: Context) -> BodyEditor | None:
        """What is neither a stream of records nor JSON passes, and what was reserved for it stays charged."""
        if not _is_good(response) or not _is_metered(response):
            return None
        account = self._account(response, context)
        begun = self.meter.begun(request.size)
        framing = Framing.of(_media_type(response))
        if framing is not None:
            return StreamMeter(self.meter, account, framing, begun)
        return WholeMeter(self.meter, account, context.limit, begun)

    def _account(self, response: Response, context: Context) -> Account:
        answered, fallen_back = (response.headers.get(name) or "" for name in (MODEL_VERSION, MODEL_FALLBACK))
        chosen = context.chosen and context.chosen.answered_by(answered, fallen_back)

        def told(tokens: int, ended: Ended) -> None:
            self.tokens(context.route, context.consumer, response.status, tokens, ended, chosen)

        return Account(self.store, self.clock, context.reservation, told)


def _is_good(response: Response) -> bool:
    return HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES


def _media_type(response: Response) -> str:
    return (response.headers.get("content-type") or "").partition(";")[0].strip().lower()


def _is_metered(response: Response) -> bool:
    found = _media_type(response)
    return found == "application/json" or found.endswith("+json") or Framing.of(found) is not None


def _is_coded(response: Response) -> bool:
    return (response.headers.get("content-encoding") or "").strip().lower() not in IDENTITY
