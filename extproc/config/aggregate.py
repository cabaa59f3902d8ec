"""The shape of `aggregate` and `merge`: an answer that the gateway puts together from several upstreams' answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from extproc.config.agreements import SOMETHING, having, never, rules
from extproc.config.expressions import check_part_expression
from extproc.config.settings import Duration, EditableHeader, PartCel, PartCondition, Settings, Size
from extproc.config.spelling import Spelled, written
from extproc.core.aggregation import MAX_PARTS, named_parts
from extproc.core.problems import Path
from extproc.core.processing import MAX_SHOWN
from extproc.core.templates import check_path, pieces_of

# As JSON's members and as CEL's: `parts.profile`, and `parts["my-orders"]` for those with a dash.
PART_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]{0,62}"
NO_PART_NAME: Final = "not a name for a part: letters, digits, underscores and dashes, a letter first"
NO_PATH: Final = "not a path: write /users/{consumer.id}, in its normal form, without a fragment"
BODILESS: Final = "a request with GET or HEAD has no body: write method: POST"
WHOLE_BODY: Final = "body makes one answer of all parts: leave out one of body and ndjson"
BODILESS_METHODS: Final = ("GET", "HEAD")
MEMBER: Final = r"[A-Za-z_$][A-Za-z0-9_$.-]{0,62}"


def part_path(value: str) -> str:
    pieces = pieces_of(value)
    check_path(pieces)
    for piece in pieces:
        if piece.expression:
            check_part_expression(piece.expression)
    return value


def _json(value: Any) -> Any:
    """What JSON can hold: YAML's own numbers can be more."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("not a value that JSON has") from None
    return value


PartName = Annotated[str, Spelled(PART_NAME, NO_PART_NAME, "name")]
PartPath = Annotated[str, AfterValidator(part_path), written("path with expressions", r"/[^#\s]*", NO_PATH)]
AnyJson = Annotated[Any, PlainValidator(_json), WithJsonSchema({})]
Status = Annotated[int, Field(ge=400, le=599)]
PartLimit = Annotated[Size, Field(ge=1, le=MAX_SHOWN)]


class Part(Settings):
    """One call that the gateway makes itself, by way of Envoy, and whose JSON becomes a part of the answer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            never(
                {"required": ["body"], "properties": {"body": SOMETHING, "method": {"enum": list(BODILESS_METHODS)}}},
                BODILESS,
            )
        )
    )

    upstream: str
    """The upstream that is asked."""
    path: PartPath
    """What it is asked for, with its query: `/orders?user={consumer.id}`. Between braces stands CEL; its value is
    percent-encoded. Where a value in the path itself is empty, or has a slash, a backslash or a control character, or
    would be `.` or `..`, nothing is asked and the part counts as missing."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """The HTTP method."""
    headers: dict[EditableHeader, PartCel] = {}
    """Headers by name, with their values in CEL. The consumer's identity, the upstream's own credential and the headers
    of traces are sent in any case."""
    body: PartCel | None = None
    """The body in CEL; it is sent as JSON."""
    when: PartCondition | None = None
    """A condition in CEL; where it does not hold, nothing is asked, and the part is not missed."""
    timeout: Duration | None = None
    """How long it may take, tries included. Left out: as for a route to that upstream, and at most what is left of the
    route's timeout."""
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    """How often it is sent again, to another endpoint: GET and HEAD also where the answer is 502, 503 or 504, others
    only where the upstream cannot have begun to act. Left out: the upstream's own `retries`."""
    optional: bool = False
    """Whether there is an answer without it. What is missing is named in the answer; where a part that is not optional
    is missing, the answer is 502, or 504 where it did not come in time."""
    default: AnyJson = None
    """What stands in its place where it is missing or its condition does not hold; the part is optional then."""
    accept_statuses: Annotated[list[Status], Field(max_length=16)] = []
    """Statuses from 400 on that are an answer all the same, as 404 may be. Left out: any but 2xx makes it missing."""
    response_limit: PartLimit | None = None
    """The longest answer, at most 3MiB; a longer one makes it missing. Left out: the route's `response_limit`."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.body is not None and self.method in BODILESS_METHODS:
            raise ValueError(BODILESS)
        return self

    @property
    def has_default(self) -> bool:
        return "default" in self.model_fields_set

    @property
    def expressions(self) -> Sequence[tuple[Path, str]]:
        """Every expression with its place."""
        single: list[tuple[Path, str | None]] = [(("when",), self.when), (("body",), self.body)]
        found = [(place, text) for place, text in single if text is not None]
        found += [(("headers", name), text) for name, text in self.headers.items()]
        return [*found, *((("path",), piece.expression) for piece in pieces_of(self.path) if piece.expression)]

    @property
    def needs(self) -> frozenset[str]:
        return frozenset[str]().union(*(named_parts(text) for _, text in self.expressions))


Parts = Annotated[dict[PartName, Part], Field(min_length=1, max_length=MAX_PARTS)]


class Merge(Settings):
    """How parts become one answer."""

    model_config = ConfigDict(json_schema_extra=rules(never(having(body=SOMETHING, ndjson=SOMETHING), WHOLE_BODY)))

    body: PartCel | None = None
    """The whole answer in CEL, over `parts`: `{"name": parts.profile.name}`. Left out: an object with a member for each
    part."""
    partial: Annotated[str, Spelled(MEMBER, "not the name of a member", "member")] = "_partial"
    """The member of the answer that says which parts are missing, and why. It is there only where some are."""
    ndjson: Literal["on_request", "always", "never"] | None = None
    """When each part is sent in a line of its own as soon as it is there (`application/x-ndjson`). Left out:
    `on_request`, where the client's `accept` asks for it; with `body`, or where an expression reads `request.json`:
    never."""

    @model_validator(mode="after")
    def _is_one_answer(self) -> Self:
        if self.body is not None and self.ndjson is not None:
            raise ValueError(WHOLE_BODY)
        return self
