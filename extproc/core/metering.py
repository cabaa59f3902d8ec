"""How many tokens an answer came to: as the upstream says, and, as long as it has not said, as its length says.

Nothing here knows a model's own tokens. While a stream runs and says nothing of its usage, a token is taken for each
few bytes of text, and at least one for each record that has text: a server that sends tokens as it makes them sends
one in each. What the request was is taken for by its length. As soon as the upstream says what it was, that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

LARGEST: Final = 2**52  # what every store counts exactly
BYTES_PER_TOKEN: Final = 4
# Members whose texts say what a part is, and are none of it.
NO_TEXT: Final = frozenset({"type", "role", "id", "object", "model", "finish_reason", "stop_reason", "signature"})
Path = tuple["str | None", ...]  # a member's name; None for every item of a list
Addend = tuple[Path, ...]  # places at which the same number may stand


class Style(Enum):
    """Whose answers they are: where usage and text stand in them, and how a stream of them ends."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OLLAMA = "ollama"
    OTHER = "other"


class Words(NamedTuple):
    """What a style says where: numbers that add up to the usage, and texts."""

    usage: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


# A path's alternatives have a bar between them: the same number stands elsewhere in a stream than in a whole answer.
STYLES: Final[Mapping[Style, Words]] = {
    Style.OPENAI: Words(("usage.total_tokens",), ("choices[].delta", "choices[].text", "choices[].message")),
    Style.ANTHROPIC: Words(
        (
            "usage.input_tokens|message.usage.input_tokens",
            "usage.cache_creation_input_tokens|message.usage.cache_creation_input_tokens",
            "usage.cache_read_input_tokens|message.usage.cache_read_input_tokens",
            "usage.output_tokens|message.usage.output_tokens",
        ),
        ("delta", "content[]"),
    ),
    Style.OLLAMA: Words(("prompt_eval_count", "eval_count"), ("message", "response")),
    Style.OTHER: Words(),
}


class Count(NamedTuple):
    """What has been seen of one answer. `prompt` are tokens, `text` bytes, `records` those that had text, `said` what
    each number of the usage was last; `exact` whether no text has come since the usage was said."""

    prompt: int = 0
    text: int = 0
    records: int = 0
    said: tuple[int, ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """`reserve` are places in a request's body that say how many tokens its answer may have; `ending` are the data of
    the last records of a stream that is cut, where no style says them."""

    style: Style
    usage: tuple[Addend, ...]
    texts: tuple[Path, ...]
    bytes_per_token: int = BYTES_PER_TOKEN
    reserve: tuple[Path, ...] = ()
    ending: tuple[str, ...] = ()

    def begun(self, request_bytes: int) -> Count:
        return Count(prompt=self.tokens_in(request_bytes))

    def after(self, count: Count, document: Mapping[str, Any]) -> Count:
        """With one more record, or with the whole of an answer."""
        text = sum(_length(value) for path in self.texts for value in _found(document, path))
        said = [_number_at(document, addend) for addend in self.usage]
        heard = any(one is not None for one in said)
        before = count.said or (0,) * len(self.usage)
        known = tuple([old if new is None else new for old, new in zip(before, said, strict=True)])
        return Count(
            count.prompt,
            count.text + text,
            count.records + bool(text),
            known if heard else count.said,
            heard or (count.exact and not text),
        )

    def after_text(self, count: Count, length: int) -> Count:
        """With so many bytes of which nobody knows what is text."""
        return count._replace(text=count.text + length, records=count.records + bool(length), exact=False)

    def total(self, count: Count) -> int:
        usage = sum(count.said)
        return min(LARGEST, usage if count.exact else max(usage, count.prompt + self.written(count)))

    def written(self, count: Count) -> int:
        """The tokens of its text, as they are taken."""
        return max(count.records, self.tokens_in(count.text))

    def tokens_in(self, length: int) -> int:
        return -(-length // self.bytes_per_token)

    def asked(self, document: Mapping[str, Any]) -> int:
        """How many tokens a request lets its answer have: the most that one of the places says; 0 where none does."""
        return max((number for path in self.reserve for number in [_number_at(document, (path,))] if number), default=0)


def parse_places(text: str) -> Addend:
    """`usage.total|message.usage.total`, `choices[].delta`. What is written was checked when it was read."""
    return tuple([_path(one) for one in text.split("|")])


def _path(text: str) -> Path:
    steps: list[str | None] = []
    for part in text.split("."):
        name = part.removesuffix("[]")
        steps += [name, None] if part.endswith("[]") else [name]
    return tuple(steps)


def _found(value: Any, path: Path) -> Iterator[Any]:
    found = [value]
    for step in path:
        if step is None:
            found = [item for one in found if isinstance(one, list) for item in one]
        else:
            found = [one[step] for one in found if isinstance(one, dict) and step in one]
    yield from found


def _number_at(document: Any, places: Addend) -> int | None:
    """The first place that has a number; several items of a list are added up."""
    for path in places:
        numbers = [one for one in _found(document, path) if type(one) is int and one >= 0]
        if numbers:
            return min(LARGEST, sum(numbers))
    return None


def _length(value: Any) -> int:
    """Bytes of all texts in it. As deep as a reader of JSON lets it be."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        return sum([_length(one) for name, one in value.items() if name not in NO_TEXT])
    return sum(map(_length, value)) if isinstance(value, list) else 0
