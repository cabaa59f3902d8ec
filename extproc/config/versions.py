"""The shape of `versions`, and of a route's `version`: which of them it serves, and how its bodies are adapted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from extproc.config.agreements import CERTAIN, SOMETHING, exactly_one, having, never, rules, some_of, where
from extproc.config.settings import Name, Settings
from extproc.config.spelling import Spelled, text, written
from extproc.core.conversions import CONVERSIONS
from extproc.core.lens_building import MEMBER, Change
from extproc.core.problems import Path

NO_MOMENT: Final = "not a moment: write 2027-04-01, which is its first second in UTC, or 2027-04-01T12:00:00Z"
MOMENT: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?"
Part = Literal["request", "response"]
PARTS: Final[tuple[Part, ...]] = ("request", "response")
KINDS: Final = ("rename", "move", "default", "drop", "wrap", "unwrap", "convert")
ONE_CHANGE: Final = f"one change is one of {', '.join(KINDS)}"
NO_LINK: Final = "not a place to go: write a path or a whole URL, as /new or https://example.com/new"
MAX_BROWN_OUTS: Final = 64  # each is compared with the clock for every request
UNDATED: Final = "a deprecated version says since when: write deprecated: 2026-10-01"
ENDLESS: Final = (
    "a current version does not end: write status: deprecated, or leave out deprecated, sunset and brown_outs"
)
TOO_EARLY: Final = "a version is gone no earlier than it is deprecated (RFC 9745, section 4)"
NOTHING_TO_DO: Final = "changes are between two versions: write adapt_to"
TWICE_SAID: Final = "write body, or what differs for request and response"


def parse_moment(value: Any) -> int:
    """Seconds since the epoch."""
    if not isinstance(value, str) or not re.fullmatch(MOMENT, value):
        raise ValueError(NO_MOMENT)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("the calendar has no such day or time") from None
    return int(moment.replace(tzinfo=UTC).timestamp())


Moment = Annotated[int, PlainValidator(parse_moment), written("moment", MOMENT, NO_MOMENT)]
# Without what would end the angle brackets of a Link header (RFC 8288 §3).
Link = Annotated[str, Spelled(r"(?:https?://[!#-.0-;=@-~]+)?/[!#-;=?-~]*", NO_LINK, "path or URL")]


class BrownOut(Settings):
    """A time for which a deprecated version is switched off, so that whoever still calls it notices."""

    start: Moment
    """From when on."""
    end: Moment
    """Until when."""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.end <= self.start:
            raise ValueError("a brown-out ends after it starts")
        return self


CURRENT: Final = {"properties": {"status": {"const": "current"}}}


class ApiVersion(Settings):
    """One version of the API, and how long it will be there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            where(having(status={"const": "deprecated"}), having(deprecated=SOMETHING)),
            never({**CURRENT, "anyOf": [having(deprecated=CERTAIN), having(sunset=CERTAIN)]}, ENDLESS),
        )
    )

    status: Literal["current", "deprecated", "sunset"] = "current"
    """`current`: it is there to stay. `deprecated`: it still answers, and says since when it is deprecated and when it
    will be gone. `sunset`: it is gone, every request is answered with 410."""
    deprecated: Moment | None = None
    """Since when, or from when on, it is deprecated: answers say so in `Deprecation` (RFC 9745)."""
    sunset: Moment | None = None
    """When it is gone: answers say so in `Sunset` (RFC 8594), and from then on they are 410."""
    successor: str | None = None
    """The version to go to. A route of it at the same path, but for the version's name, is linked as
    `successor-version`."""
    documentation: Link | None = None
    """Where people read about the deprecation: linked as `deprecation`."""
    sunset_policy: Link | None = None
    """Where people read how versions end: linked as `sunset`."""
    brown_outs: Annotated[list[BrownOut], Field(max_length=MAX_BROWN_OUTS)] = []
    """Times before the sunset at which requests are answered with 410 as well."""

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        if self.status == "deprecated" and self.deprecated is None:
            raise ValueError(UNDATED)
        if self.status == "current" and (self.deprecated is not None or self.sunset is not None or self.brown_outs):
            raise ValueError(ENDLESS)
        if self.sunset is not None and self.deprecated is not None and self.sunset < self.deprecated:
            raise ValueError(TOO_EARLY)
        return self


PATH: Final = rf"\.|(?:\[\])+|(?:(?:\[\])+\.)?{MEMBER}(?:\[\])*(?:\.{MEMBER}(?:\[\])*)*"
NO_PATH: Final = "not a path: write name, address.city, items[].name, or . for the whole document"
JsonPath = Annotated[str, Spelled(PATH, NO_PATH, "path"), Field(max_length=1024)]
Member = Annotated[str, Spelled(MEMBER, "not the name of a member", "member")]


def parse_conversion(value: Any) -> str | dict[str, str]:
    """By name, or as a table of texts, which YAML may have read as something else."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value and all(isinstance(word, str) for word in value.values()):
        return {str(before): after for before, after in value.items()}
    raise ValueError("write the name of a conversion, or a table of texts, as {active: enabled, closed: disabled}")


Conversion = Annotated[
    str | dict[str, str],
    PlainValidator(parse_conversion),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(CONVERSIONS)},
                {"type": "object", "additionalProperties": text("word"), "minProperties": 1},
            ]
        }
    ),
]


class VersionChange(Settings):
    """What is different in the next version. Each path means the document as the changes before have left it; `[]`
    stands for each item of a list, `.` for the whole document. Changes are made from the first to the last for a
    request, and undone from the last to the first for an answer."""

    model_config = ConfigDict(json_schema_extra=exactly_one(KINDS, ONE_CHANGE))

    rename: dict[JsonPath, Member] | None = None
    """A member gets another name."""
    move: dict[JsonPath, JsonPath] | None = None
    """A member goes to another path. Objects on the way are made, and go again when they are empty."""
    default: dict[JsonPath, Any] | None = None
    """A member that only the next version has, with the value for a document without it. The way back removes it."""
    drop: dict[JsonPath, Any] | None = None
    """A member that the next version does not have, with the value that it gets on the way back."""
    wrap: dict[JsonPath, Member] | None = None
    """A value becomes an object's one member, of this name."""
    unwrap: dict[JsonPath, Member] | None = None
    """An object's member, of this name, takes its place. Other members of the object are gone."""
    convert: dict[JsonPath, Conversion] | None = None
    """A value is written in another way: by the name of a conversion, or by a table of the words of both versions."""

    @model_validator(mode="after")
    def _is_one_change(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(ONE_CHANGE)
        return self

    def changes(self) -> Iterator[Change]:
        for kind in KINDS:
            for path, argument in (getattr(self, kind) or {}).items():
                yield Change(kind, path, argument)


class VersionUse(Settings):
    """Which version a route serves, and how its bodies become those of the version that the upstream speaks."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            never(having(body=SOMETHING, request=SOMETHING), TWICE_SAID),
            never(having(body=SOMETHING, response=SOMETHING), TWICE_SAID),
            where(some_of(("body", "request", "response", "then"), NOTHING_TO_DO), having(adapt_to=SOMETHING)),
        )
    )

    is_: Annotated[Name, Field(alias="is")]
    """The version that this route serves: a name from `versions`."""
    adapt_to: Name | None = None
    """The version that the upstream speaks, where it is another one: bodies are changed on their way."""
    then: str | None = None
    """A route of the version `adapt_to` that adapts as well: its changes follow, and the upstream speaks the version
    that it adapts to."""
    successor: Link | None = None
    """Where the successor's resource is. Left out: the same path with the successor's name, where a route of it
    serves that."""
    body: list[VersionChange] | None = None
    """How a body of this version becomes one of `adapt_to`. Requests go that way, answers the way back."""
    request: list[VersionChange] | None = None
    """The same for requests alone."""
    response: list[VersionChange] | None = None
    """The same for answers alone: still written from this version to the next, and undone for each answer."""

    @model_validator(mode="after")
    def _adapts_something(self) -> Self:
        if self.body is not None and (self.request is not None or self.response is not None):
            raise ValueError(TWICE_SAID)
        written = any(part is not None for part in (self.body, self.request, self.response, self.then))
        if written and self.adapt_to is None:
            raise ValueError(NOTHING_TO_DO)
        return self

    def changes(self, part: Part) -> list[tuple[Change, Path]]:
        """How a body of this version becomes one of the next, each change with its place below `version`."""
        key = part if self.body is None else "body"
        listed: list[VersionChange] = getattr(self, key) or []
        return [
            (change, (key, index, change.kind, change.path))
            for index, item in enumerate(listed)
            for change in item.changes()
        ]


def followed(use: VersionUse, routes: Mapping[str, VersionUse]) -> list[VersionUse]:
    """The uses whose changes come one after the other: this one's, and those of the routes that it goes on with."""
    uses, seen = [use], set[str]()
    while uses[-1].then is not None and uses[-1].then in routes and uses[-1].then not in seen:
        seen.add(uses[-1].then)
        uses.append(routes[uses[-1].then])
    return uses
