"""What an operator may write beside `use: transform`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from extproc import AnswerCel, EditableHeader, EventCel, File, QueryName, RequestCel, Settings, ValueCel

from .paths import NOT_A_PATH, PATTERN, parse_path

Replaced = Annotated[str, Field(min_length=1, max_length=1024)]
Name = Annotated[str, Field(pattern=r"^[^.\s\[\]]+$", max_length=256)]


def _path(value: str) -> str:
    try:
        parse_path(value)
    except ValueError:
        raise ValueError(NOT_A_PATH) from None
    return value


Place = Annotated[str, Field(max_length=256, json_schema_extra={"pattern": PATTERN}), AfterValidator(_path)]


class Replacement(Settings):
    """A text that is replaced wherever it stands."""

    replace: Replaced
    """The text, as it is: no pattern."""
    with_: Annotated[str, Field(alias="with", max_length=1024)] = ""
    """What stands there instead. Left out: nothing."""


class _JsonEdits(Settings):
    rename: dict[Place, Name] = {}
    """Members to rename, each by its path to its new name in the same object."""
    remove: list[Place] = []
    """Members to remove, by their paths."""
    map: dict[Place, ValueCel] = {}
    """Members to change, each by its path to an expression of its `value`. `items[].price` is that of every item."""


class RequestJson(_JsonEdits):
    """Edits of a request's JSON body: `rename`, `remove`, `map`, `default` and `set`, in this order. Expressions see
    the body as the client sent it."""

    default: dict[Place, RequestCel] = {}
    """Members to set where there are none, each by its path to the value of an expression."""
    set: dict[Place, RequestCel] = {}
    """Members to set, each by its path of names with dots between, to the value of an expression. Objects on the way
    are made."""


class ResponseJson(_JsonEdits):
    """Edits of an answer's JSON body: `rename`, `remove`, `map`, `default` and `set`, in this order. Expressions see
    the body as the upstream gave it."""

    default: dict[Place, AnswerCel] = {}
    """Members to set where there are none, each by its path to the value of an expression."""
    set: dict[Place, AnswerCel] = {}
    """Members to set, each by its path of names with dots between, to the value of an expression. Objects on the way
    are made."""


class EventJson(_JsonEdits):
    """Edits of the JSON in one event."""

    default: dict[Place, EventCel] = {}
    """Members to set where there are none, each by its path to the value of an expression."""
    set: dict[Place, EventCel] = {}
    """Members to set, each by its path, to the value of an expression."""


class QueryEdits(Settings):
    """Edits of the query: `rename`, `remove` and `set`, in this order. Names are compared decoded."""

    rename: dict[QueryName, QueryName] = {}
    """Parameters to rename."""
    remove: list[QueryName] = []
    """Parameters to remove."""
    set: dict[QueryName, RequestCel] = {}
    """Parameters to set, in place of all of that name, each to the value of an expression."""


class RequestEdits(Settings):
    """What is edited in a request before it goes to the upstream, after everything has let it in."""

    method: RequestCel | None = None
    """The method, as the value of an expression."""
    path: RequestCel | None = None
    """The path, as the value of an expression; characters that no path has are escaped. The route stays the same."""
    query: QueryEdits = QueryEdits()
    """Edits of the query."""
    headers: dict[EditableHeader, RequestCel] = {}
    """Headers to set, each to the value of an expression."""
    remove_headers: list[EditableHeader] = []
    """Headers to remove."""
    schema_: Annotated[File | None, Field(alias="schema")] = None
    """A file with the JSON Schema (2020-12, or as its `$schema` says) that bodies must fit, before they are edited;
    else the request is refused with 400. Nothing is fetched for a `$ref`."""
    openapi: File | None = None
    """A file with an OpenAPI description (3.0 or 3.1, YAML or JSON): bodies must fit what it says of the operation. An
    operation that it does not have is refused with 404 or 405."""
    json_: Annotated[RequestJson, Field(alias="json")] = RequestJson()
    """Edits of the body. Where there are any, a body that is no JSON object, or that two readers could understand
    differently, is refused: 415 for another media type, charset or encoding, 400 for what is in it."""
    body: RequestCel | None = None
    """The whole body, as the value of an expression: a text as it is, anything else as JSON."""
    text: list[Replacement] = []
    """Texts to replace in a body that is text."""

    @model_validator(mode="after")
    def _one_description(self) -> Self:
        if self.schema_ is not None and self.openapi is not None:
            raise ValueError("bodies are described by one of schema and openapi")
        return self


class EventEdits(Settings):
    """What is edited in each event of an answer (`text/event-stream`), or in each line of one (`application/x-ndjson`,
    `application/jsonl`), as it passes."""

    json_: Annotated[EventJson, Field(alias="json")] = EventJson()
    """Edits of its data, where that is a JSON object; `event.json` is what the upstream sent, `event.type` its name."""
    text: list[Replacement] = []
    """Texts to replace in its data."""


class ResponseEdits(Settings):
    """What is edited in an answer. Expressions see the answer as the upstream gave it."""

    headers: dict[EditableHeader, AnswerCel] = {}
    """Headers to set, each to the value of an expression."""
    remove_headers: list[EditableHeader] = []
    """Headers to remove."""
    json_: Annotated[ResponseJson, Field(alias="json")] = ResponseJson()
    """Edits of the body, where it is a JSON object; any other body passes as it is. The answer is then held until it is
    complete, up to the route's `response_limit`."""
    body: AnswerCel | None = None
    """The whole body, as the value of an expression: a text as it is, anything else as JSON."""
    text: list[Replacement] = []
    """Texts to replace in a body that is text."""
    events: EventEdits | None = None
    """Edits of each event of an answer that is a stream of them. Where they are written, Envoy holds no answer; one
    that is not such a stream is edited whole as the other keys say."""

    @model_validator(mode="after")
    def _headers_leave_first(self) -> Self:
        reads = [text for text in self.headers.values() if "response.json" in text]
        if self.events is not None and reads:
            raise ValueError(
                "with events the headers leave before the body is there: none can be made of response.json"
            )
        return self

    @property
    def whole(self) -> bool:
        """Whether something is made of the whole body."""
        reads = any("response.json" in text for text in self.headers.values())
        return bool(reads or self.body or self.text or edits_of(self.json_))


class TransformSettings(Settings):
    """Edit requests before they go to the upstream, and answers before they go to the client."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2})  # `use`, and one of the two below

    request: RequestEdits = RequestEdits()
    """What is edited in a request."""
    response: ResponseEdits = ResponseEdits()
    """What is edited in an answer."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a transform says what is edited in request or in response")
        return self


def edits_of(json: _JsonEdits) -> bool:
    """Whether it says anything."""
    return any(getattr(json, key) for key in type(json).model_fields)


def mentions(edits: Any, name: str) -> bool:
    """Whether some expression of these settings reads a variable, by its name in their text."""
    return name in str(edits.model_dump(exclude={"schema_", "openapi"}))
