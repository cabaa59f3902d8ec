"""A query as Envoy's own parser takes it apart: at every `&`, names and values as they are written."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote


class Parameter(NamedTuple):
    """`name` and `value` as the client wrote them, `%` included."""

    name: str
    value: str


def parameters(query: str) -> list[Parameter]:
    return [Parameter(*part.partition("=")[::2]) for part in query.split("&")] if query else []


def parameters_called(name: str, query: str) -> list[Parameter]:
    """All that a server may take for `name`: `%6bey` is `key` for whoever decodes it, and Envoy does not."""
    if name not in query and "%" not in query:
        return []
    return [one for one in parameters(query) if one.name == name or unquote(one.name) == name]


def without(query: str, names: Collection[str]) -> str:
    """What Envoy leaves when it removes these: parameters in the order of their names, each with its `=`."""
    kept = [one for one in parameters(query) if one.name not in names]
    return "&".join(f"{name}={value}" for name, value in sorted(kept, key=_spelt))


def _spelt(parameter: Parameter) -> bytes:
    return parameter.name.encode("utf-8", "surrogateescape")
