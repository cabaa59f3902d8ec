"""Rollouts over the admin address: looked at, moved and turned back by the bearer of the admin token."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, Protocol

from pydantic import Field, field_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.asking import SECRET, Guard, Refusals, answered, json_of, read_body
from extproc.admin.problems import problem
from extproc.config.settings import Settings
from extproc.config.wishes import read_wish
from extproc.core.evidence import MOST_POINTS, Series
from extproc.core.guard import figures
from extproc.core.rollout import RolloutConflict
from extproc.core.rollout_wishes import Action, Wish
from extproc.core.specs import HUNDREDTHS, is_in_hundredths

MAX_BODY: Final = 16 * 1024
LONGEST_REASON: Final = 500
NO_ROLLOUTS: Final = (
    "this gateway keeps no rollouts: write a ramp or guard, or sidecar: {stores: {rollouts: file:NAME}}"
)
NO_MOMENTS: Final = f"write since, until and step in seconds, for at most {MOST_POINTS} points"


class RolloutWish(Settings):
    """What the body of a change says. `shares` in percent."""

    action: Action
    shares: Annotated[dict[str, float], Field(max_length=100)] = {}
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] = ""
    generation: Annotated[int, Field(ge=0)] | None = None

    @field_validator("reason")
    @classmethod
    def _on_one_line(cls, value: str) -> str:
        """Terminals and pictures show it."""
        if not value.isprintable():
            raise ValueError("a reason is one line of what can be read")
        return value

    @field_validator("shares")
    @classmethod
    def _in_hundredths(cls, value: dict[str, float]) -> dict[str, float]:
        for share in value.values():
            if not 0 <= share <= 100 or not is_in_hundredths(share):  # noqa: PLR2004
                raise ValueError("shares are percentages from 0 to 100 in steps of 0.01")
        return value

    def wish(self) -> Wish:
        """Raises ValueError where it says what its action has no use for."""
        if bool(self.shares) != (self.action is Action.SET):
            raise ValueError("shares are what set sets, and nothing else")
        shares = {name: round(share * HUNDREDTHS) for name, share in self.shares.items()}
        return Wish(self.action, shares, self.reason, self.generation)


class RolloutDesk(Protocol):
    """What the sidecar knows and does of rollouts. Raises StoreUnavailable, RolloutConflict, and an UnknownModel."""

    async def wish(self, model: str, wish: Wish) -> dict[str, Any]: ...

    async def every(self) -> list[dict[str, Any]]: ...

    async def told(self, model: str) -> dict[str, Any]: ...

    async def history(self, model: str) -> list[dict[str, Any]]: ...

    async def series(self, model: str, since: float, until: float, step: float) -> Series: ...

    def prices(self, model: str) -> Mapping[str, float]: ...


class UnknownModel(Exception):
    """There is no model of that name."""


REFUSALS: Final[Refusals] = {
    UnknownModel: (HTTPStatus.NOT_FOUND, "unknown_model"),
    RolloutConflict: (HTTPStatus.CONFLICT, "rollout_conflict"),
}


def rollout_routes(desk: RolloutDesk | None, guard: Guard) -> list[Route]:
    """`guard` lets nobody through but the bearer of the admin token; `desk` is None where no rollouts are kept."""
    if desk is None:
        return [Route(path, guard(_unkept), methods=["GET", "POST"]) for path in ("/rollouts", "/rollouts/{rest:path}")]
    asked = _Asked(desk)
    one = "/rollouts/{model}"
    return [
        Route("/rollouts", guard(answered(asked.every, REFUSALS)), methods=["GET"]),
        Route(one, guard(answered(asked.told, REFUSALS)), methods=["GET"]),
        Route(one, guard(answered(asked.change, REFUSALS)), methods=["POST"]),
        Route(f"{one}/history", guard(answered(asked.history, REFUSALS)), methods=["GET"]),
        Route(f"{one}/series", guard(answered(asked.series, REFUSALS)), methods=["GET"]),
    ]


class _Asked:
    def __init__(self, desk: RolloutDesk) -> None:
        self._desk = desk

    async def every(self, request: Request) -> Response:
        return JSONResponse({"rollouts": await self._desk.every()}, headers=SECRET)

    async def told(self, request: Request) -> Response:
        return JSONResponse(await self._desk.told(_model(request)), headers=SECRET)

    async def change(self, request: Request) -> Response:
        wish = read_wish(RolloutWish, json_of(await read_body(request, MAX_BODY))).wish()
        return JSONResponse(await self._desk.wish(_model(request), wish), headers=SECRET)

    async def history(self, request: Request) -> Response:
        return JSONResponse({"changes": await self._desk.history(_model(request))}, headers=SECRET)

    async def series(self, request: Request) -> Response:
        model = _model(request)
        since, until, step = (_moment(request, name) for name in ("since", "until", "step"))
        series = await self._desk.series(model, since, until, step)
        prices = self._desk.prices(model)
        points = [{"at": at, "versions": figures(seen, prices)} for at, seen in series]
        return JSONResponse({"model": model, "step": step, "points": points}, headers=SECRET)


async def _unkept(request: Request) -> Response:
    return problem(HTTPStatus.CONFLICT, "no_rollouts", NO_ROLLOUTS)


def _model(request: Request) -> str:
    return str(request.path_params["model"])


def _moment(request: Request, name: str) -> float:
    written = request.query_params.get(name, "")
    if not (written.isascii() and 0 < len(written) <= 16 and written.replace(".", "", 1).isdigit()):  # noqa: PLR2004
        raise ValueError(NO_MOMENTS)
    return float(written)
