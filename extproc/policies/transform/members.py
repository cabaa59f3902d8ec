"""Edits of a JSON document, prepared once and made in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from extproc import Expression, Ports

from .paths import Path, change, is_there, parse_path, places, twins
from .settings import EventJson, RequestJson, ResponseJson

Seen = Mapping[str, object]


class TwoNames(Exception):
    """A document has a name beside the one that is edited which some readers would take for it."""


@dataclass(frozen=True, slots=True)
class Members:
    renamed: tuple[tuple[Path, str], ...]
    removed: tuple[Path, ...]
    mapped: tuple[tuple[Path, Expression], ...]
    defaults: tuple[tuple[Path, Expression], ...]
    values: tuple[tuple[Path, Expression], ...]

    @staticmethod
    def of(edits: RequestJson | ResponseJson | EventJson, ports: Ports) -> Members:
        def compiled(texts: Mapping[str, str]) -> tuple[tuple[Path, Expression], ...]:
            return tuple((parse_path(path), ports.expression(text)) for path, text in texts.items())

        return Members(
            tuple((parse_path(path), name) for path, name in edits.rename.items()),
            tuple(map(parse_path, edits.remove)),
            compiled(edits.map),
            compiled(edits.default),
            compiled(edits.set),
        )

    def __bool__(self) -> bool:
        return bool(self.renamed or self.removed or self.mapped or self.defaults or self.values)

    @property
    def takes_lists(self) -> bool:
        """Whether some path begins at an item, and so is about a document that is a list."""
        return any(not isinstance(path[0], str) for path in self._paths())

    def check(self, document: Any) -> None:
        """Raises TwoNames."""
        for path in self._paths():
            for _ in twins(document, path):
                raise TwoNames

    def edit(self, document: Any, seen: Seen, mapping: Seen) -> None:
        """`seen` are the variables, made of the document as it came; `mapping` those that a `value` joins."""
        # All before the first is set: `seen` holds the document itself, and values are made of what came.
        defaults = [(path, expression.value(seen)) for path, expression in self.defaults]
        values = [(path, expression.value(seen)) for path, expression in self.values]
        for path, name in self.renamed:
            _rename(document, path, name)
        for path in self.removed:
            _remove(document, path)
        for path, expression in self.mapped:
            _map(document, path, expression, mapping)
        for path, value in defaults:
            _set(document, path, value, default=True)
        for path, value in values:
            _set(document, path, value)

    def _paths(self) -> list[Path]:
        written = [*self.renamed, *self.mapped, *self.defaults, *self.values]
        return [*(path for path, _ in written), *self.removed]


def _rename(document: Any, path: Path, name: str) -> None:
    """In its place, so that what is not edited stays in its order."""
    for holder, step in list(places(document, path)):
        if isinstance(holder, dict) and step in holder and step != name:
            members = [(name if key == step else key, value) for key, value in holder.items() if key != name]
            holder.clear()
            holder.update(members)


def _remove(document: Any, path: Path) -> None:
    for holder, step in reversed(list(places(document, path))):  # from the last: the numbers before it stay
        if is_there(holder, step):
            del holder[step]


def _map(document: Any, path: Path, expression: Expression, seen: Seen) -> None:
    change(document, path, lambda value: expression.value(_With(seen, value)))


def _set(document: Any, path: Path, value: object, *, default: bool = False) -> None:
    for holder, step in list(places(document, path, make=True)):
        if not default or not is_there(holder, step):
            holder[step] = value


class _With(dict[str, object]):
    """The variables of one value: made for each, so it holds nothing but that."""

    def __init__(self, seen: Seen, value: object) -> None:
        super().__init__(value=value)
        self._seen = seen

    def __missing__(self, name: str) -> object:
        return self._seen[name]

    def __contains__(self, name: object) -> bool:
        return name == "value" or name in self._seen
