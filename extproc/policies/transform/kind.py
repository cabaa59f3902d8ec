"""The kind: what its settings need to see, and which half of it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from extproc import BodyEditor, Context, Decision, Phase, Policy, Ports, Request, Response

from .answers import Answers
from .requests import Requests
from .settings import RequestEdits, ResponseEdits, TransformSettings, edits_of, mentions


def _phases(settings: TransformSettings) -> frozenset[Phase]:
    return frozenset(_of_request(settings.request) | _of_response(settings.response))


def _of_request(edits: RequestEdits) -> set[Phase]:
    """Headers alone are edited in the call that lets the request in; what else is edited costs an ext_proc stream."""
    body = edits.schema_ or edits.openapi or edits.body or edits.text or edits_of(edits.json_)
    if body or mentions(edits, "request.json"):
        return {Phase.REQUEST_BODY}
    if edits.method or edits.path or edits.query.rename or edits.query.remove or edits.query.set:
        return {Phase.FORWARD}
    return {Phase.REQUEST} if edits.headers or edits.remove_headers else set()


def _of_response(edits: ResponseEdits) -> set[Phase]:
    if edits.events is not None:
        return {Phase.RESPONSE_STREAM}
    if edits.whole:
        return {Phase.RESPONSE_BODY}
    return {Phase.RESPONSE} if edits.headers or edits.remove_headers else set()


@dataclass(frozen=True, slots=True)
class Transform(Policy):
    requests: Requests
    answers: Answers

    name: ClassVar[str] = "transform"
    Settings: ClassVar[type[TransformSettings]] = TransformSettings
    phases: ClassVar[Any] = staticmethod(_phases)

    @staticmethod
    def build(settings: TransformSettings, ports: Ports) -> Policy:
        return Transform(Requests.of(settings.request, ports), Answers.of(settings.response, ports))

    async def on_request(self, request: Request, context: Context) -> Decision:
        return await self.requests.decide(request, context)

    async def on_forward(self, request: Request, context: Context) -> Decision:
        return await self.requests.decide(request, context)

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        return await self.answers.decide(response, request, context)

    async def on_stream(self, response: Response, request: Request, context: Context) -> BodyEditor | None:
        return self.answers.editor(response, request, context)
