"""The variables that expressions see: one table of names and types, and the values for a request or response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extproc.core.message import Consumer, Request, Response

# Name -> type, spelled as the expression adapter knows it. A name that is not here is refused when a file is loaded.
TYPES: Final[Mapping[str, str]] = {
    "request.method": "string",
    "request.path": "string",
    "request.query": "string",
    "request.host": "string",
    "request.scheme": "string",
    "request.headers": "map<string, string>",
    "request.address": "string",
    "route.name": "string",
    "consumer.id": "string",
    "consumer.tier": "string",
    "consumer.method": "string",
    "consumer.scopes": "list<string>",
    "consumer.claims": "map<string, dyn>",
    "response.status": "int",
    "response.headers": "map<string, string>",
    "response.json": "dyn",
}

ANONYMOUS = Consumer(id="")


def variables(
    request: Request,
    route: str,
    consumer: Consumer | None,
    response: Response | None = None,
    json_body: object = None,
) -> dict[str, object]:
    """Plain dicts, lists and scalars only: the adapter passes nothing else to the runtime."""
    who = consumer or ANONYMOUS
    seen: dict[str, object] = {
        "request.method": request.method,
        "request.path": request.path,
        "request.query": request.query,
        "request.host": request.host,
        "request.scheme": request.scheme,
        "request.headers": request.headers.as_dict(),
        "request.address": request.address,
        "route.name": route,
        "consumer.id": who.id,
        "consumer.tier": who.tier or "",
        "consumer.method": who.method,
        "consumer.scopes": list(who.scopes),
        "consumer.claims": dict(who.claims),
    }
    if response is not None:
        seen |= {
            "response.status": response.status,
            "response.headers": response.headers.as_dict(),
            "response.json": json_body,
        }
    return seen
