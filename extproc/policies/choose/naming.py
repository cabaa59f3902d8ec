"""Which model a request asks for: by a member of its body, a header, or a segment of its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from extproc import BLANK, LocalReply, ModelsSpec, NamedBy, Request, loads_strictly, refusal

MEMBER: Final = "model"
IDENTITY: Final = "identity"
UNREADABLE: Final = refusal(400, "unreadable_body", "the body is no JSON object that everybody reads alike")
ENCODED: Final = refusal(415, "encoded_body", "the model is named in the body, which must not be encoded")
UNCLEAR: Final = refusal(400, "unclear_model", "the request names a model in more than one way")
NONE_NAMED: Final = refusal(400, "no_model", "the request names no model")
UNKNOWN: Final = refusal(404, "unknown_model", "there is no model of this name here")
Reader = Callable[[Request], str | LocalReply | None]
T = TypeVar("T")


class Naming(Generic[T]):
    """`models` are there by each of their names."""

    def __init__(self, spec: ModelsSpec, models: Mapping[str, T]) -> None:
        self._read = READERS[spec.named_by](spec.of)
        self._models = models
        self._otherwise = spec.otherwise

    def of(self, request: Request) -> T | LocalReply:
        named = self._read(request)
        if isinstance(named, LocalReply):
            return named
        named = named or self._otherwise
        return self._models.get(named, UNKNOWN) if named else NONE_NAMED


def _in_body(request: Request) -> str | LocalReply | None:
    """What the upstream might read otherwise is refused: it is the other reader, and would take it for another model's
    request. Readers that do not tell cases apart take `Model` for `model`."""
    if request.headers.get("content-encoding") not in (None, "", IDENTITY):
        return ENCODED
    if not request.body:
        return None
    try:
        document = loads_strictly(request.body)
    except ValueError:
        return UNREADABLE
    if not isinstance(document, dict):
        return UNREADABLE
    named = [value for name, value in document.items() if name.casefold() == MEMBER]
    if not named:
        return None
    return UNCLEAR if len(named) > 1 or not isinstance(document.get(MEMBER), str) else named[0]


def _in_header(name: str) -> Reader:
    def read(request: Request) -> str | LocalReply | None:
        values = request.headers.all(name)
        return UNCLEAR if len(values) > 1 else values[0] if values else None

    return read


def _in_path(template: str) -> Reader:
    """A template ends where its last segment does; what follows below it is the upstream's."""
    before, _, after = template.partition(BLANK)
    pattern = re.compile(rf"{re.escape(before)}([^/]+){re.escape(after)}(?:/.*)?", re.DOTALL)

    def read(request: Request) -> str | LocalReply | None:
        found = pattern.fullmatch(request.path)
        return found[1] if found else None

    return read


READERS: Final[Mapping[NamedBy, Callable[[str], Reader]]] = {
    NamedBy.ROUTE: lambda of: lambda request: None,
    NamedBy.BODY: lambda of: _in_body,
    NamedBy.HEADER: _in_header,
    NamedBy.PATH: _in_path,
}
