"""`use: transform`: set headers and members of a JSON response, the values given by CEL.

A body that is not the JSON object it claims to be passes untouched: this kind adorns answers, it does not guard them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from extproc import (
    CONTINUE,
    AnswerCel,
    Context,
    Continue,
    Decision,
    EditableHeader,
    Expression,
    HeaderEdits,
    Phase,
    Policy,
    Ports,
    Request,
    Response,
    Settings,
    loads_strictly,
    variables,
)

Member = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$", max_length=256)]


class JsonEdits(Settings):
    """Edits of a JSON body."""

    set: dict[Member, AnswerCel] = {}
    """Members to set, each by its path of names with dots between, to the value of an expression."""


class ResponseEdits(Settings):
    """What is edited in an answer. Expressions see the answer as the upstream gave it."""

    headers: dict[EditableHeader, AnswerCel] = {}
    """Headers to set, each to the value of an expression."""
    json_: Annotated[JsonEdits, Field(alias="json")] = JsonEdits()
    """Edits of the body, where it is a JSON object; any other body passes as it is. The answer is then held until it is
    complete, up to 1 MiB."""


class TransformSettings(Settings):
    """Set headers and JSON members of an answer, the values given by expressions."""

    response: ResponseEdits
    """What is edited in an answer."""


def _phases(settings: TransformSettings) -> frozenset[Phase]:
    """The body is shown where a member is set, or where a header is made of one."""
    reads = any("response.json" in text for text in settings.response.headers.values())
    return frozenset({Phase.RESPONSE_BODY if settings.response.json_.set or reads else Phase.RESPONSE})


@dataclass(frozen=True, slots=True)
class Transform(Policy):
    headers: Mapping[str, Expression]
    members: Mapping[tuple[str, ...], Expression]

    name: ClassVar[str] = "transform"
    Settings: ClassVar[type[TransformSettings]] = TransformSettings
    phases: ClassVar[Any] = staticmethod(_phases)

    @staticmethod
    def build(settings: TransformSettings, ports: Ports) -> Policy:
        edits = settings.response
        return Transform(
            {name: ports.expression(text) for name, text in edits.headers.items()},
            {tuple(path.split(".")): ports.expression(text) for path, text in edits.json_.set.items()},
        )

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        document = _document(response)
        if self.members and document is None:
            return CONTINUE
        seen = variables(request, context.route, context.consumer, response, document)
        headers = HeaderEdits(set=tuple((name, _text(value.value(seen))) for name, value in self.headers.items()))
        if not self.members or document is None:
            return Continue(response=headers)
        # All before the first is set: `seen` holds the document itself, and values are made of the upstream's answer.
        values = [(path, expression.value(seen)) for path, expression in self.members.items()]
        for path, value in values:
            _set(document, path, value)
        return Continue(response=headers, body=json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _document(response: Response) -> dict[str, Any] | None:
    media_type = (response.headers.get("content-type") or "").split(";")[0].strip().lower()
    if not (media_type == "application/json" or media_type.endswith("+json")) or not response.body:
        return None
    if response.headers.get("content-encoding") not in (None, "identity"):
        return None
    try:
        document = loads_strictly(response.body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _set(document: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Objects on the way are made; a member that is no object is replaced."""
    for name in path[:-1]:
        if not isinstance(document.get(name), dict):
            document[name] = {}
        document = document[name]
    document[path[-1]] = value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
