"""One file of envoyproxy/ratelimit: its keys checked, its values taken, with the words that it has for mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from extproc.config.ratelimit_yaml import Value, read_yaml, refuse
from extproc.core.errors import RefusedLimits

KEYS: Final = frozenset({
    "domain", "key", "value", "descriptors", "rate_limit", "unit", "requests_per_unit", "unlimited", "shadow_mode",
    "quota_mode", "name", "replaces", "detailed_metric", "value_to_metric", "share_threshold", "metadata",
})  # fmt: skip
MOST_REQUESTS: Final = 2**32 - 1
DESCRIPTORS: Final = "[]config.YamlDescriptor"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Replaced:
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class WrittenLimit:
    line: int
    requests: int = 0
    unit: str = ""
    unlimited: bool = False
    name: str = ""
    replaces: tuple[Replaced, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenDescriptor:
    line: int
    key: str = ""
    value: str = ""
    limit: WrittenLimit | None = None
    descriptors: tuple[WrittenDescriptor, ...] = ()
    shadow: bool = False
    quota: bool = False
    detailed: bool = False
    value_told: bool = False
    shared: bool = False
    metadata: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    file: str
    domain: str = ""
    line: int = 1
    descriptors: tuple[WrittenDescriptor, ...] = ()


def read_document(file: str, content: bytes) -> Document:
    """Raises RefusedLimits with the first mistake."""
    value = read_yaml(file, content)
    if value.is_null:
        return Document(file)
    if value.pairs is None:
        refuse(file, _unmarshalled([_cannot(value, "map[interface {}]interface {}")]), value.line)
    _check_keys(file, value)
    return _Taker(file).document(value)


def _check_keys(file: str, mapping: Value) -> None:
    for key, value in mapping.pairs or ():
        if not isinstance(key.scalar, str):
            raise RefusedLimits(file, f"config error, key is not of type string: {key}", key.line)
        if key.text not in KEYS:
            raise RefusedLimits(file, f"config error, unknown key '{key.text}'", key.line)
        if key.text != "metadata":
            _check_value(file, value)


def _check_value(file: str, value: Value) -> None:
    for item in value.items or ():
        if item.pairs is None:
            said = f"config error, yaml file contains list of type other than map: {item}"
            raise RefusedLimits(file, said, item.line)
        _check_keys(file, item)
    _check_keys(file, value)
    if isinstance(value.scalar, float):
        raise RefusedLimits(file, "error checking config", value.line)


def _cannot(value: Value, kind: str) -> str:
    return f"line {value.line}: cannot unmarshal {value.tag} into {kind}"


def _unmarshalled(found: list[str]) -> str:
    return "unmarshal errors:\n  " + "\n  ".join(found)


@dataclass(slots=True)
class _Taker:
    """Values as the types that they are to be. All that do not fit are told together."""

    file: str
    found: list[str] = field(default_factory=list)
    line: int = 0

    def document(self, value: Value) -> Document:
        members = value.members
        domain = self._text(members, "domain")
        descriptors = self._descriptors(members)
        if self.found:
            refuse(self.file, _unmarshalled(self.found), self.line)
        return Document(self.file, domain, value.line, descriptors)

    def _descriptors(self, members: dict[str, Value]) -> tuple[WrittenDescriptor, ...]:
        return tuple(self._items(members, "descriptors", DESCRIPTORS, self._descriptor))

    def _descriptor(self, value: Value) -> WrittenDescriptor:
        members = value.members
        return WrittenDescriptor(
            line=value.line,
            key=self._text(members, "key"),
            value=self._text(members, "value"),
            limit=self._limit(members.get("rate_limit")),
            descriptors=self._descriptors(members),
            shadow=self._flag(members, "shadow_mode"),
            quota=self._flag(members, "quota_mode"),
            detailed=self._flag(members, "detailed_metric"),
            value_told=self._flag(members, "value_to_metric"),
            shared=self._flag(members, "share_threshold"),
            metadata=self._metadata(members.get("metadata")),
        )

    def _limit(self, value: Value | None) -> WrittenLimit | None:
        if value is None or value.is_null:
            return None
        if value.pairs is None:
            self._tell(value, "config.YamlRateLimit")
            return None
        members = value.members
        return WrittenLimit(
            line=members["unit"].line if "unit" in members else value.line,
            requests=self._requests(members.get("requests_per_unit")),
            unit=self._text(members, "unit"),
            unlimited=self._flag(members, "unlimited"),
            name=self._text(members, "name"),
            replaces=tuple(self._items(members, "replaces", "[]config.yamlReplaces", self._replaced)),
        )

    def _replaced(self, value: Value) -> Replaced:
        return Replaced(self._text(value.members, "name"), value.line)

    def _items(self, members: dict[str, Value], name: str, kind: str, take: Callable[[Value], T]) -> list[T]:
        value = members.get(name)
        if value is None or value.is_null:
            return []
        if value.items is None:
            self._tell(value, kind)
        return [take(item) for item in value.items or ()]

    def _text(self, members: dict[str, Value], name: str) -> str:
        value = members.get(name)
        if value is None or value.is_null:
            return ""
        if value.scalar is None:
            self._tell(value, "string")
        return value.text

    def _flag(self, members: dict[str, Value], name: str) -> bool:
        value = members.get(name)
        if value is None or value.is_null:
            return False
        if not isinstance(value.scalar, bool):
            self._tell(value, "bool")
        return value.scalar is True

    def _requests(self, value: Value | None) -> int:
        if value is None or value.is_null:
            return 0
        number = value.scalar
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST_REQUESTS:
            return number
        self._tell(value, "uint32")
        return 0

    def _metadata(self, value: Value | None) -> dict[str, object] | None:
        if value is None or value.is_null:
            return None
        if value.pairs is None:
            self._tell(value, "map[string]interface {}")
            return None
        plain = _plain(value)
        return plain if isinstance(plain, dict) and plain else None

    def _tell(self, value: Value, kind: str) -> None:
        self.line = self.line or value.line
        self.found.append(_cannot(value, kind))


def _plain(value: Value) -> object:
    if value.pairs is not None:
        return {str(key): _plain(member) for key, member in value.pairs}
    if value.items is not None:
        return [_plain(item) for item in value.items]
    return value.scalar
