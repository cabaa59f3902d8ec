"""How a route's answers are metered: what is written of it, and what it must agree with in the rest of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from extproc.config.agreements import SOMETHING, having, rules, where
from extproc.config.limits import KINDS
from extproc.config.raw import Raw, inherited, items, mapping
from extproc.config.settings import Settings
from extproc.config.spelling import Short, Spelled
from extproc.core.problems import Finding, Path

OFF: Final = "none"  # the word for a route that is not metered, whatever the defaults say
NAME: Final = r"[^.\s\[\]|]{1,128}(?:\[\])?"
PLACE: Final = rf"{NAME}(?:\.{NAME}){{0,15}}"
NO_PLACE: Final = "not a place in a body: names with dots between, as usage.total_tokens; behind a list's name []"
NO_PLACES: Final = f"{NO_PLACE}; a bar between places at which the same number may stand"
NO_WORDS: Final = "style: other knows nothing of its answers: write usage and text, or one of them"
LONGEST_ENDING: Final = 4096

BodyPlace = Annotated[str, Spelled(PLACE, NO_PLACE, "place")]
NumberPlaces = Annotated[str, Spelled(rf"{PLACE}(?:\|{PLACE}){{0,7}}", NO_PLACES, "place")]
EndingText = Annotated[str, Spelled(r"[^\r\n]{1,4096}", "the data of one event: a line of at most 4096 characters")]


class MeterUse(Settings):
    """How many tokens answers of this route came to: it is read in them, and what was reserved of `tokens` is settled
    by it. A stream ends, well-formed, where its budget does."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            where(
                having(style={"const": "other"}),
                {"anyOf": [having(usage=SOMETHING), having(text=SOMETHING)], "errorMessage": NO_WORDS},
            )
        )
    )

    style: Literal["openai", "anthropic", "ollama", "other", "none"] = "openai"
    """Whose answers they are. `openai`: Chat Completions and Completions, and whoever speaks like them; `anthropic`:
    Messages; `ollama`: lines of JSON; `other`: what the keys below say, and nothing more; `none`: they are not metered,
    whatever the defaults say."""
    usage: Annotated[list[NumberPlaces], Field(max_length=8)] = []
    """Where an answer, or an event of it, says what it came to: numbers that are added up, each by its path, with a bar
    between places at which the same number may stand. Left out: as the style has it."""
    text: Annotated[list[BodyPlace], Field(max_length=8)] = []
    """Where the texts are by whose length a stream is counted until it says what it came to, each by its path; all that
    is below counts. Left out: as the style has it."""
    bytes_per_token: Annotated[int, Field(ge=1, le=64)] = 4
    """How many bytes of text are taken for a token, where nothing says it better."""
    reserve: Annotated[list[BodyPlace], Field(max_length=4)] = []
    """Where a request says how many tokens its answer may have, as `max_tokens`: the most that one of these places says
    is reserved before it is sent on, and refused where there is less. Requests are then shown to the sidecar whole.
    Left out: no request is."""
    ending: Annotated[list[EndingText], Field(max_length=8)] = []
    """The data of the last events, or the last lines, of a stream that is cut. Left out: as the style has it."""

    @model_validator(mode="before")
    @classmethod
    def _spelled_short(cls, value: Any) -> Any:
        return {"style": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.style == "other" and not (self.usage or self.text):
            raise ValueError(NO_WORDS)
        return self


SHORT: Final = (
    {"enum": ["openai", "anthropic", "ollama"], "description": "The style alone."},
    {"const": OFF, "description": "Not metered, whatever the defaults say."},
)
AnyMeter = Annotated[MeterUse, Short(SHORT)]


def check_meters(data: Any) -> list[Finding]:
    """What metered routes need of the rest of the file."""
    raw = mapping(data)
    return [finding for index, route in items(raw, "routes") for finding in _route(raw, route, ("routes", index))]


def _route(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    own = route.get("meter")
    used = own if own is not None else mapping(raw.get("defaults")).get("meter")
    if used is None or used == OFF or mapping(used).get("style") == OFF:
        return
    if own is not None and route.get("redirect") is not None:
        yield Finding((*path, "meter"), "a redirect has no answer of an upstream to meter")
    if own is not None and not _counts_tokens(raw, route) and not _sums(raw):
        hint = "write a limit with tokens, or sidecar: {usage: {keep: 90d}}"
        yield Finding((*path, "meter"), "nothing counts the tokens of this route", hint)
    # Limits of the defaults may be settled by a header on the routes that are not metered.
    written = route.get("limits")
    for index, use in enumerate(written if isinstance(written, list) else []):
        if mapping(use).get("tokens") is not None and mapping(use).get("settle") is not None:
            said = "this route's answers are metered, so that no header settles what was reserved"
            yield Finding((*path, "limits", index, "settle"), said, "leave out settle, or write meter: none")


def _counts_tokens(raw: Raw, route: Raw) -> bool:
    uses: Any = inherited(raw, route, "limits")
    uses = uses if isinstance(uses, list) else []
    by_tier = any(use == "tier" or _is_tiers(mapping(use)) for use in uses)
    places = [*map(mapping, uses)]
    if by_tier:
        places += [
            *map(mapping, mapping(raw.get("tiers")).values()),
            *map(mapping, mapping(raw.get("consumers")).values()),
        ]
        if mapping(raw.get("limits")).get("claim") is not None:
            return True
    return any(one.get("tokens") is not None for one in places)


def _is_tiers(use: Raw) -> bool:
    return use.get("per") == "tier" and not set(KINDS).intersection(use)


def _sums(raw: Raw) -> bool:
    return mapping(raw.get("sidecar")).get("usage") is not None
