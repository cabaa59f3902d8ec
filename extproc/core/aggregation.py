"""Which parts of an aggregate wait for which, what each came to, and how they become one answer. No I/O, no time.

Rule 1: a part begins when all that it names are settled, and no later; whatever does not wait goes at the same time.
Rule 2: a required part that is missing ends it all: nobody waits for the rest.
Rule 3: what is missing is never left out in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.core.specs import AggregateSpec, PartSpec
from extproc.core.templates import pieces_of

MAX_PARTS: Final = 16  # calls that one request makes at the same time, tries not counted
PARTS: Final = "parts"  # the variable in which expressions find what other parts gave
TIMEOUT: Final = "timeout"
# Names of parts, and texts and comments, in which the word means nothing (cel-spec: langdef.md, Values).
NAMED: Final = re.compile(
    r"""(?<![\w.])parts\s*(?:\.\s*(?P<dotted>[A-Za-z_]\w*)|\[\s*(?:"(?P<double>[^"\\]*)"|'(?P<single>[^'\\]*)')\s*\])"""
    r"""|(?P<bare>(?<![\w.])parts\b)"""
    r"""|//[^\n]*|[rRbB]*(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""",
    re.DOTALL,
)
UNNAMED: Final = "name the parts that are meant, as parts.profile"


def named_parts(expression: str) -> frozenset[str]:
    """The parts that an expression reads. Raises ValueError where it does not say which."""
    names = set[str]()
    for found in NAMED.finditer(expression):
        if found["bare"]:
            raise ValueError(UNNAMED)
        names |= {name for name in (found["dotted"], found["double"], found["single"]) if name is not None}
    return frozenset(names)


def needs_of(spec: AggregateSpec) -> Mapping[str, frozenset[str]]:
    """Which parts each part waits for. Raises ValueError as named_parts does."""
    return {part.name: _needs(part) for part in spec.parts}


def _needs(part: PartSpec) -> frozenset[str]:
    texts = [*part.expressions, *(piece.expression for piece in pieces_of(part.path))]
    return frozenset[str]().union(*map(named_parts, texts))


def cycle_in(needs: Mapping[str, AbstractSet[str]]) -> tuple[str, ...]:
    """Parts that wait for each other in a circle, the first of them again at its end; empty where none do."""
    left = {name: set(others) & needs.keys() for name, others in needs.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    walked: list[str] = []
    at = next(iter(left), None)
    while at is not None and at not in walked:
        walked.append(at)
        at = next(iter(sorted(left[at] & left.keys())), None)
    return (*walked[walked.index(at) :], at) if at is not None else ()


@dataclass(frozen=True, slots=True)
class Got:
    """JSON as the upstream wrote it, and read. It goes into the answer as it was written: no number loses a digit."""

    text: bytes = field(repr=False)
    value: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a part is not there: a word for programs."""

    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part whose condition did not hold. It is not missed."""


Result = Got | Missing | Skipped


class Aggregation:
    """Tell it what each part came to with `settle`; both `begin` and `settle` say which parts go now."""

    def __init__(self, parts: Sequence[PartSpec], needs: Mapping[str, AbstractSet[str]]) -> None:
        self._parts = {part.name: part for part in parts}
        self._needs = needs
        self._waiting = dict.fromkeys(self._parts)  # in their order
        self.results: dict[str, Result] = {}
        self.failed: str | None = None

    def begin(self) -> tuple[str, ...]:
        return self._free()

    def settle(self, name: str, result: Result) -> tuple[str, ...]:
        self.results[name] = result
        if isinstance(result, Missing) and not self._parts[name].optional:
            self.failed = name
            self._waiting.clear()
        return self._free()

    @property
    def finished(self) -> bool:
        return self.failed is not None or len(self.results) == len(self._parts)

    @property
    def missing(self) -> dict[str, str]:
        """Parts that failed, with their reasons, in the file's order."""
        found = ((name, self.results.get(name)) for name in self._parts)
        return {name: result.why for name, result in found if isinstance(result, Missing)}

    def value(self, name: str) -> Got | None:
        """What stands in the answer for that part: its own, or its default, or nothing."""
        result = self.results.get(name)
        return result if isinstance(result, Got) or result is None else default_of(self._parts[name])

    def values(self, names: AbstractSet[str]) -> dict[str, object]:
        """As expressions see them: what there is."""
        found = {name: self.value(name) for name in self._parts if name in names}
        return {name: got.value for name, got in found.items() if got is not None}

    def _free(self) -> tuple[str, ...]:
        known = self._needs.get
        free = [name for name in self._waiting if all(other in self.results for other in known(name, ()))]
        for name in free:
            del self._waiting[name]
        return tuple(free)

    def members(self) -> Iterator[tuple[str, bytes]]:
        for name in self._parts:
            got = self.value(name)
            if got is not None:
                yield name, got.text


def default_of(part: PartSpec) -> Got | None:
    """JSON, which the file's own reader made sure of."""
    return None if part.default is None else Got(part.default.encode(), json.loads(part.default))


def merged(aggregation: Aggregation, marker: str) -> bytes:
    """An object with a member for each part that there is, and under `marker` what is missing and why."""
    members = [b"%s:%s" % (written(name), text) for name, text in aggregation.members()]
    if aggregation.missing and marker:
        members.append(b"%s:%s" % (written(marker), written(aggregation.missing)))
    return b"{%s}" % b",".join(members)


def composed(value: object, aggregation: Aggregation, marker: str) -> bytes:
    """What an expression made of the parts. An object is marked as well; what is none has no place for it."""
    if isinstance(value, dict) and aggregation.missing and marker:
        value = {**value, marker: aggregation.missing}
    return written(value)


def line_of(name: str, got: Got, *, default: bool = False) -> bytes:
    """Of a streamed answer: one part, in one line. A text of JSON may be laid out over several, so it is joined."""
    marked = b',"default":true' if default else b""
    return b'{"part":%s,"value":%s%s}\n' % (written(name), _in_one_line(got.text), marked)


def last_line(missing: Mapping[str, str], problem: Mapping[str, object] | None = None) -> bytes:
    """Without it, an answer is not complete."""
    said: dict[str, Any] = {"done": problem is None}
    said |= {"missing": dict(missing)} if missing else {}
    return written(said | ({"problem": dict(problem)} if problem is not None else {})) + b"\n"


def _in_one_line(text: bytes) -> bytes:
    """Between tokens a line end is white space, and within a text of JSON there is none (RFC 8259 §7)."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def written(value: object) -> bytes:
    """As JSON, in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
