"""The variables that expressions see: one table of names and types, and the values for a request or response."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_plus

from extproc.core.message import Consumer, Request, Response
from extproc.core.query import parameters

# Name -> type, spelled as the expression adapter knows it. A name that is not here is refused when a file is loaded.
TYPES: Final[Mapping[str, str]] = {
    "request.method": "string",
    "request.path": "string",
    "request.query": "string",
    "request.params": "map<string, string>",
    "request.host": "string",
    "request.scheme": "string",
    "request.headers": "map<string, string>",
    "request.address": "string",
    "route.name": "string",
    "consumer.id": "string",
    "consumer.tier": "string",
    "consumer.method": "string",
    "consumer.scopes": "list<string>",
    "consumer.anonymous": "bool",
    "consumer.groups": "list<string>",
    "consumer.claims": "map<string, dyn>",
    "response.status": "int",
    "response.headers": "map<string, string>",
    "response.json": "dyn",
    "request.json": "dyn",
    "event.type": "string",
    "event.json": "dyn",
    "value": "dyn",
    "parts": "map<string, dyn>",
}

OF_CONSUMER: Final = "consumer."
OF_RESPONSE: Final = "response."
# Only policies that edit a body, or put one together, have a value for these.
OF_PAYLOADS: Final = ("request.json", "event.", "value", "parts")
ANSWERED: Final = frozenset(name for name in TYPES if name.startswith(OF_RESPONSE))
NOTHING_MORE: Final[Mapping[str, object]] = MappingProxyType({})
NOBODY: Final = Consumer(id="", anonymous=True)


def variables(
    request: Request,
    route: str,
    consumer: Consumer | None,
    response: Response | None = None,
    json_body: object = None,
    more: Mapping[str, object] | None = None,
) -> Mapping[str, object]:
    """Plain dicts, lists and scalars only: the adapter passes nothing else to the runtime. `more` are those of
    `OF_PAYLOADS` that have a value here."""
    return _Variables(request, route, consumer or NOBODY, response, json_body, more or NOTHING_MORE)


@dataclass(slots=True, eq=False)  # one for each condition, and a frozen one takes twice as long to make
class _Variables(Mapping[str, object]):
    """Made when asked for: most expressions read two or three, and a dictionary of all headers is the dearest."""

    request: Request
    route: str
    consumer: Consumer
    response: Response | None
    json_body: object
    more: Mapping[str, object]

    def __getitem__(self, name: str) -> object:
        if self.response is None and name in ANSWERED:
            raise KeyError(name)
        return VALUES[name](self) if name in VALUES else self.more[name]

    def __contains__(self, name: object) -> bool:
        return name in self.more or (name in VALUES and (self.response is not None or name not in ANSWERED))

    def __iter__(self) -> Iterator[str]:
        return (name for name in TYPES if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _decoded(query: str) -> dict[str, str]:
    """The first of each name, which is the one that Envoy matches on."""
    found: dict[str, str] = {}
    for name, value in parameters(query):
        found.setdefault(unquote_plus(name), unquote_plus(value))
    return found


VALUES: Final[Mapping[str, Callable[[_Variables], object]]] = {
    "request.method": lambda seen: seen.request.method,
    "request.path": lambda seen: seen.request.path,
    "request.query": lambda seen: seen.request.query,
    "request.params": lambda seen: _decoded(seen.request.query),
    "request.host": lambda seen: seen.request.host,
    "request.scheme": lambda seen: seen.request.scheme,
    "request.headers": lambda seen: seen.request.headers.as_dict(),
    "request.address": lambda seen: seen.request.address,
    "route.name": lambda seen: seen.route,
    "consumer.id": lambda seen: "" if seen.consumer.anonymous else seen.consumer.id,
    "consumer.tier": lambda seen: seen.consumer.tier or "",
    "consumer.method": lambda seen: seen.consumer.method,
    "consumer.scopes": lambda seen: list(seen.consumer.scopes),
    "consumer.anonymous": lambda seen: seen.consumer.anonymous,
    "consumer.groups": lambda seen: list(seen.consumer.groups),
    "consumer.claims": lambda seen: dict(seen.consumer.claims),
    "response.status": lambda seen: seen.response.status if seen.response else 0,
    "response.headers": lambda seen: seen.response.headers.as_dict() if seen.response else {},
    "response.json": lambda seen: seen.json_body,
}
