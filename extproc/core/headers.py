"""HTTP header fields as an immutable multi-map: names in lower case, order and repetition kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass, field

from extproc.core.quick import quick

# Any but tab: a CR, LF or NUL in a value would split the message (RFC 9110 §5.5). The bound method: it is asked of each
# value that is set.
control_character = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
# RFC 9110 §5.6.2 `token`, lower case, as HTTP/2 demands (RFC 9113 §8.2.1).
TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


@quick
@dataclass(frozen=True, slots=True)
class Headers:
    """The fields of one message. Values are text with one character per byte (latin-1), so every byte survives."""

    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    _joined: dict[str, str] = field(init=False, repr=False, compare=False)  # every name's one value, commas between

    def __post_init__(self) -> None:
        joined = dict(self.fields)
        if len(joined) < len(self.fields):  # some field is repeated, which is rare
            joined = {name: ",".join(values) for name, values in self._values().items()}
        object.__setattr__(self, "_joined", joined)

    def _values(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in self.fields:
            values.setdefault(name, []).append(value)
        return values

    @classmethod
    def of(cls, fields: Iterable[tuple[str, str]] | Mapping[str, str]) -> Headers:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        return cls(tuple((name.lower(), value) for name, value in pairs))

    def get(self, name: str) -> str | None:
        """The field's values joined by a comma as RFC 9110 §5.3 allows, or None where it is absent."""
        return self._joined.get(name)

    def all(self, name: str) -> tuple[str, ...]:
        joined = self._joined.get(name)
        if joined is None:
            return ()
        if len(self._joined) == len(self.fields):  # no field is repeated
            return (joined,)
        return tuple([value for known, value in self.fields if known == name])

    @property
    def names(self) -> KeysView[str]:
        """Each once, in their order."""
        return self._joined.keys()

    def as_dict(self) -> dict[str, str]:
        """One joined value per name: what expressions see."""
        return dict(self._joined)

    def __contains__(self, name: str) -> bool:
        return name in self._joined

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


def is_token(name: str) -> bool:
    return bool(name) and TOKEN_CHARACTERS.issuperset(name)


def is_field_value(value: str) -> bool:
    return control_character(value) is None
