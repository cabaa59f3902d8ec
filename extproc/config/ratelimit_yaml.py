"""YAML as envoyproxy/ratelimit's own reader takes it (go-yaml 2), with its words for what is wrong.

gateway.yaml is read more strictly (`source.py`). Here whoever has files that were read there is to find that they mean
the same: merge keys are followed, the last of two equal keys counts, `on` is true, and a value may be any scalar.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NoReturn

import yaml

from extproc.core.errors import RefusedLimits

MAX_VALUES: Final = 1_000_000  # aliases of aliases grow without bound; no file of limits has this many values
MAX_DEPTH: Final = 100
INT64: Final = 2**63
UINT64: Final = 2**64
LONGEST_INTEGER: Final = 68  # characters of one in 64 bits, in binary and with its sign
INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
ODD_FLOATS: Final = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan), **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
}  # fmt: skip
UNTAGGED: Final = "?"
TEXT: Final = "tag:yaml.org,2002:str"
ALIAS: Final = re.compile(r"\*([0-9A-Za-z_-]+)")
TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
FALSE: Final = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
TAGS: Final = {bool: "!!bool", int: "!!int", float: "!!float", str: "!!str"}
SMALLEST, LARGEST = -4, 6  # exponents between which a float is written without one
LONGEST_SHOWN: Final = 10  # characters of a scalar in a message
Scalar = str | int | float | bool | None
Pair = tuple["Value", "Value"]


@dataclass(frozen=True, slots=True)
class Value:
    """A node with the line where it begins. `pairs` of a mapping, `items` of a list, else a scalar and its text."""

    line: int
    pairs: tuple[Pair, ...] | None = None
    items: tuple[Value, ...] | None = None
    scalar: Scalar = None
    text: str = ""

    @property
    def is_null(self) -> bool:
        return self.pairs is None and self.items is None and self.scalar is None

    @property
    def members(self) -> dict[str, Value]:
        """Of a mapping, by the text of its keys; the last of two equal ones."""
        return {key.text: value for key, value in self.pairs or ()}

    @property
    def tag(self) -> str:
        """As a message names it."""
        if self.pairs is not None:
            return "!!map"
        if self.items is not None:
            return "!!seq"
        shown = self.text if len(self.text) <= LONGEST_SHOWN else self.text[:7] + "..."
        return f"{TAGS[type(self.scalar)]} `{shown}`"

    def __str__(self) -> str:
        """As Go prints it."""
        if self.pairs is not None:
            return f"map[{' '.join(f'{key}:{value}' for key, value in self.pairs)}]"
        if self.items is not None:
            return f"[{' '.join(map(str, self.items))}]"
        if self.scalar is None:
            return "<nil>"
        if isinstance(self.scalar, float):
            return _shown(self.scalar)
        return str(self.scalar).lower() if isinstance(self.scalar, bool) else str(self.scalar)

    @property
    def source(self) -> str:
        """As Go's own source code would have it."""
        if self.pairs is not None:
            members = ", ".join(f"{key.source}:{value.source}" for key, value in self.pairs)
            return f"map[interface {{}}]interface {{}}{{{members}}}"
        if self.items is not None:
            return f"[]interface {{}}{{{', '.join(item.source for item in self.items)}}}"
        if self.scalar is None:
            return "interface {}(nil)"
        return json.dumps(self.scalar) if isinstance(self.scalar, str) else str(self)


def _shown(number: float) -> str:
    """Its shortest spelling, with an exponent from a million on."""
    exact = Decimal(repr(number)).normalize()
    if not exact.is_finite() or SMALLEST <= exact.adjusted() < LARGEST:
        return f"{exact:f}"
    first, *rest = map(str, exact.as_tuple().digits)
    return f"{'-' * (number < 0)}{first}{'.' * bool(rest)}{''.join(rest)}e{exact.adjusted():+03d}"


class _Loader(yaml.CBaseLoader):
    """Resolves nothing, and shows which scalars have a tag of their own."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        return UNTAGGED if kind is yaml.ScalarNode else str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def read_yaml(file: str, content: bytes) -> Value:
    """The first document, as that reader takes no other. Raises RefusedLimits."""
    loader = _Loader(content)
    try:
        node = loader.get_node() if loader.check_node() else None
        return Value(1) if node is None else _Reader(file).value(node, 0)
    except yaml.YAMLError as error:
        said, line = _said(error, content)
        refuse(file, said, line)
    finally:
        loader.dispose()


def refuse(file: str, said: str, line: int) -> NoReturn:
    raise RefusedLimits(file, f"error loading config file: yaml: {said}", line) from None


def _said(error: yaml.YAMLError, content: bytes) -> tuple[str, int]:
    """That reader counts lines from 0, but for errors in characters, and leaves a line 0 out."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(getattr(error, "reason", None) or "unknown problem parsing YAML content"), 0
    problem = error.problem or "unknown problem parsing YAML content"
    place, around = _line(error.problem_mark), _line(error.context_mark)
    if isinstance(error, yaml.composer.ComposerError):
        alias = ALIAS.search(content.decode(errors="replace").splitlines()[place], _column(error.problem_mark))
        return f"unknown anchor '{alias[1]}' referenced" if alias else problem, place + 1
    line = place + isinstance(error, yaml.scanner.ScannerError) if place else around
    return f"line {line}: {problem}" if line else problem, place + 1


def _line(mark: yaml.Mark | None) -> int:
    return mark.line if mark is not None else 0


def _column(mark: yaml.Mark | None) -> int:
    return mark.column if mark is not None else 0


@dataclass(slots=True)
class _Reader:
    file: str
    values: int = 0
    _open: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, depth: int) -> Value:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            refuse(self.file, "document contains excessive aliasing", line)
        if id(node) in self._open:
            refuse(self.file, "an anchor's value contains itself", line)
        if depth > MAX_DEPTH:
            refuse(self.file, f"nested deeper than {MAX_DEPTH}", line)
        if isinstance(node, yaml.ScalarNode):
            return Value(line, scalar=resolved(node.value) if _is_plain(node) else node.value, text=node.value)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return Value(line, pairs=tuple(self._pairs(node, depth + 1)))
            return Value(line, items=tuple(self.value(item, depth + 1) for item in node.value))
        finally:
            self._open.discard(id(node))

    def _pairs(self, node: yaml.MappingNode, depth: int) -> Iterator[Pair]:
        for key_node, value_node in node.value:
            key, value = self.value(key_node, depth), self.value(value_node, depth)
            if not isinstance(key_node, yaml.ScalarNode):
                refuse(self.file, f"invalid map key: {key.source}", key.line)
            if _is_plain(key_node) and key.text == "<<":
                yield from self._merged(value)
            else:
                yield key, value

    def _merged(self, value: Value) -> Iterator[Pair]:
        """Of several, the first that has a key gives it."""
        for one in reversed(value.items) if value.items is not None else (value,):
            if one.pairs is None:
                refuse(self.file, "map merge requires map or sequence of maps as the value", value.line)
            yield from one.pairs


def _is_plain(node: yaml.ScalarNode) -> bool:
    return node.style in (None, "") and node.tag != TEXT


def resolved(text: str) -> Scalar:
    """What a plain scalar is. A number beyond 64 bits is a float there, or a text where it is not decimal; one that
    needs the 64th is no number that a file may have, as a float is none."""
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if text in ODD_FLOATS:
        return ODD_FLOATS[text]
    plain = text.replace("_", "")
    match = INTEGER.fullmatch(plain) if len(plain) <= LONGEST_INTEGER else None
    number = _integer(match) if match is not None else None
    if number is not None and -INT64 <= number < UINT64:
        return number if number < INT64 else float(number)
    return float(plain) if FLOAT.fullmatch(plain) else text


def _integer(match: re.Match[str]) -> int:
    sign, *digits = match.groups()
    number = next(int(found, base) for found, base in zip(digits, (16, 2, 8, 10), strict=True) if found is not None)
    return -number if sign == "-" else number
