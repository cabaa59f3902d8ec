"""What applications say of answers, over the admin address, for the bearer of the admin token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final, Protocol

from pydantic import AfterValidator, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.asking import SECRET, Guard, answered, wish_of
from extproc.admin.problems import http_problem, problem
from extproc.config.settings import Settings
from extproc.core.feedback import ID, Feedback
from extproc.core.names import CONSUMER_ID

NO_CONSUMER: Final = "a consumer scores its own requests, and nobody is known to be asking"
NO_FEEDBACK: Final = "no model takes feedback: write score: {feedback: true} in one"
TOO_MUCH: Final = "more feedback than can be taken now"
MAX_BODY: Final = 64 * 1024
AGAIN: Final = {"retry-after": "60"}


def _an_id(value: str) -> str:
    if not ID.fullmatch(value):
        raise ValueError("not a request's id, as the answer's x-request-id says it")
    return value


class FeedbackWish(Settings):
    """What is said of one answer."""

    request_id: Annotated[str, AfterValidator(_an_id)]
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class FeedbackTaker(Protocol):
    def offer(self, feedback: Feedback) -> bool:
        """Whether it is taken. At once."""


def feedback_route(taker: FeedbackTaker | None, guard: Guard) -> Route:
    async def feedback(request: Request) -> Response:
        return await take(taker, request, None)

    return Route("/feedback", guard(answered(feedback, {})), methods=["POST"])


def feedback_application(taker: FeedbackTaker) -> Starlette:
    """For consumers, behind Envoy and on a socket that none but it can reach: it says who is asking, and asks of a
    route alone on which nobody else is let in."""

    async def feedback(request: Request) -> Response:
        consumer = request.headers.get(CONSUMER_ID, "")
        if not consumer:
            return problem(HTTPStatus.FORBIDDEN, "no_consumer", NO_CONSUMER)
        return await take(taker, request, consumer)

    return Starlette(
        routes=[Route("/{path:path}", answered(feedback, {}), methods=["POST"])],
        exception_handlers={HTTPException: http_problem},
    )


async def take(taker: FeedbackTaker | None, request: Request, consumer: str | None) -> Response:
    """202, whether it will count or not: who guesses ids learns nothing. Raises ValueError and TooLarge."""
    if taker is None:
        return problem(HTTPStatus.CONFLICT, "no_feedback", NO_FEEDBACK)
    wish = await wish_of(FeedbackWish, request, MAX_BODY)
    if not taker.offer(Feedback(wish.request_id, wish.score, consumer)):
        return problem(HTTPStatus.TOO_MANY_REQUESTS, "too_much_feedback", TOO_MUCH, AGAIN)
    return JSONResponse({"taken": True}, HTTPStatus.ACCEPTED, headers=SECRET)
