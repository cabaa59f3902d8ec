"""YAML text -> plain data with a position for every value. Knows YAML and nothing of gateways.

Scalars follow the YAML 1.2 core schema: `on`, `no` and `1:30` stay text, as an operator who writes them expects.
Numbers are decimal: `0x10`, `0o10`, `.inf` and `.nan` stay text as well, for no setting takes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from extproc.core.problems import Finding, Path

MAX_VALUES: Final = 100_000  # aliases of aliases grow without bound; no gateway has this many values
MAX_DEPTH: Final = 50
INTEGER: Final = re.compile(r"[-+]?[0-9]+")
FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS: Final[dict[str, object]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

Position = tuple[int, int]
Substitute = Callable[[str], str]  # raises ValueError with the sentence to show


class TooLarge(Exception):
    """Reading stopped: a document without its rest would have a problem at every missing value."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.mark = node.start_mark


@dataclass(slots=True)
class Source:
    """One file's data. `positions` has the place of every value; for a member of a mapping, that is its key's.

    `readable` is false where there is no data to judge, and the findings say why. `changed` are the values that were
    set by hand, with how that was asked for.
    """

    data: Any = field(default=None, repr=False)  # secrets as well, as they are written
    readable: bool = True
    positions: dict[Path, Position] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    changed: dict[Path, str] = field(default_factory=dict)
    values: int = 0
    most: int = MAX_VALUES

    def changed_at(self, path: Path) -> str | None:
        """How the value there was set, or the nearest around it; of what was only made to set something, that."""
        around = [path[:length] for length in range(len(path), -1, -1)]
        inside = [] if path in self.positions else [one for one in self.changed if one[: len(path)] == path]
        return next((self.changed[one] for one in (*around, *inside) if one in self.changed), None)

    def position(self, path: Path) -> Position:
        """The place of the path, or of the nearest thing around it that was written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.positions:
                return self.positions[path[:length]]
        return (1, 1)


def parse(text: str, substitute: Substitute, most: int = MAX_VALUES) -> Source:
    """The one document in the text. What is wrong is in `findings`; the data holds whatever could be read."""
    source = Source(most=most)
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        if node is None:
            return _unreadable("is empty")
        source.data = _Reader(source, substitute).read(node, ())
    except yaml.MarkedYAMLError as error:
        return _unreadable(f"not YAML: {error.problem or error}", error.problem_mark)
    except TooLarge as error:
        return _unreadable(str(error), error.mark)
    except (yaml.YAMLError, UnicodeEncodeError) as error:  # the latter is a lone surrogate
        return _unreadable(f"not YAML: {str(error).splitlines()[0]}")
    return source


def _unreadable(why: str, mark: yaml.Mark | None = None) -> Source:
    position = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
    return Source(None, readable=False, positions={(): position}, findings=[Finding((), why)])


@dataclass(slots=True)
class _Reader:
    source: Source
    substitute: Substitute

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.source.values += 1
        if self.source.values > self.source.most:
            raise TooLarge(node, f"more than {self.source.most} values, aliases counted each time")
        if len(path) > MAX_DEPTH:
            raise TooLarge(node, f"nested deeper than {MAX_DEPTH}")
        self.source.positions.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            child = (*path, key)
            if key in result:
                first_line, _ = self.source.positions[child]
                self._find_at(key_node, child, f"duplicate key {key!r}", f"first written in line {first_line}")
                continue
            self.source.positions[child] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode) or key == "<<":
                self._find(child, "a key must be plain text; merge keys are not read")
                continue
            result[key] = self.read(value_node, child)
        return result

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = str(node.value)
        try:
            replaced = self.substitute(text)
        except ValueError as error:
            self._find(path, str(error))
            return text
        quoted = getattr(node, "style", None)  # empty or None where the scalar is plain
        return replaced if quoted else _resolve(replaced)

    def _find(self, path: Path, message: str, hint: str = "") -> None:
        self.source.findings.append(Finding(path, message, hint))

    def _find_at(self, node: yaml.Node, path: Path, message: str, hint: str) -> None:
        duplicate = (*path, -1 - len(self.source.findings))  # no path of a value: a list's indices are not negative
        self.source.positions[duplicate] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self._find(duplicate, message, hint)


def _resolve(text: str) -> object:
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text) if len(text) < 40 else text  # noqa: PLR2004 - longer is no number that any setting takes
    return float(text) if FLOAT.fullmatch(text) else text
