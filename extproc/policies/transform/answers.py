"""Edits of an answer. What cannot be read passes as it is: this kind adorns answers, it does not guard them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from extproc import (
    CONTINUE,
    BodyEditor,
    Context,
    Continue,
    Decision,
    Expression,
    Framing,
    HeaderEdits,
    Ports,
    Request,
    Response,
    variables,
)

from .content import Content, body_of, document_in, replaced, spelled, text_of
from .encodings import TooLong, UnknownCoding, Unreadable
from .events import Events, RecordsEditor
from .members import Members
from .settings import ResponseEdits

# What another body makes untrue (RFC 9110 §8.8.3, RFC 9530); and what a part of one cannot keep.
ABOUT_THE_BODY: Final = ("etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges")
JSON_TYPE: Final = ("content-type", "application/json")
Seen = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Answers:
    headers: Mapping[str, Expression]
    removed: tuple[str, ...]
    members: Members
    body: Expression | None
    texts: tuple[tuple[str, str], ...]
    events: Events | None
    whole: bool

    @staticmethod
    def of(edits: ResponseEdits, ports: Ports) -> Answers:
        return Answers(
            {name: ports.expression(text) for name, text in edits.headers.items()},
            tuple(edits.remove_headers),
            Members.of(edits.json_, ports),
            ports.expression(edits.body) if edits.body else None,
            tuple((one.replace, one.with_) for one in edits.text),
            Events.of(edits.events, ports) if edits.events else None,
            edits.whole,
        )

    async def decide(self, response: Response, request: Request, context: Context) -> Decision:
        content = Content.of(response.headers)
        held = self.whole and self.events is None
        body = await _readable(content, response, context.limit) if held else None
        document = self._document(content, body)
        seen = variables(request, context.route, context.consumer, response, document)
        if held and self.members and document is None and not self.texts and self.body is None:
            return CONTINUE
        fields = self._fields(seen)  # before the document is edited: `seen` holds it
        made = self._made(content, body, document, seen) if held else None
        edits = self._edits(fields, response, seen, whole=made is not None)
        return Continue(response=edits, body=None if made is None else await self._packed(content, made))

    def editor(self, response: Response, request: Request, context: Context) -> BodyEditor | None:
        """For an answer that passes: by event, by line, or whole where it is short enough to be kept."""
        content = Content.of(response.headers)
        if self.events is None or content.coding or response.status == HTTPStatus.PARTIAL_CONTENT:
            return None
        seen = variables(request, context.route, context.consumer, response)
        framing = Framing.of(content.media_type)
        if framing is not None:
            return RecordsEditor(self.events, seen, framing)
        return _Whole(self, response, request, context) if self.whole else None

    def made_of(self, body: bytes, response: Response, request: Request, context: Context) -> bytes:
        """Of a body that has passed whole by the editor."""
        content = Content.of(response.headers)
        document = self._document(content, body)
        seen = variables(request, context.route, context.consumer, response, document)
        made = self._made(content, body, document, seen)
        return body if made is None else made

    def _document(self, content: Content, body: bytes | None) -> Any:
        if body is None or not content.is_json:
            return None
        try:
            return document_in(body, lists=self.members.takes_lists)
        except ValueError:
            return None

    def _made(self, content: Content, body: bytes | None, document: Any, seen: Seen) -> bytes | None:
        """What becomes of the body; None where it stays as it is."""
        if self.body is not None:
            return self._replaced(content, body_of(self.body.value(seen)))
        if body is None:
            return None
        if self.members and document is not None:
            self.members.edit(document, seen, seen)
            return self._replaced(content, spelled(document))
        made = self._replaced(content, body)
        return None if made == body else made

    def _replaced(self, content: Content, body: bytes) -> bytes:
        if not self.texts or not content.is_text:
            return body
        try:
            return replaced(body, content.charset, self.texts)
        except ValueError:
            return body

    def _fields(self, seen: Seen) -> dict[str, str]:
        return {name: text_of(value.value(seen)) for name, value in self.headers.items()}

    def _edits(self, fields: dict[str, str], response: Response, seen: Seen, *, whole: bool) -> HeaderEdits:
        removed = dict.fromkeys(self.removed)
        if whole:
            removed |= dict.fromkeys(name for name in ABOUT_THE_BODY if name in response.headers)
        if whole and self.body is not None:
            fields = {"content-type": _type_of(self.body.value(seen)), **fields}
            removed |= {"content-encoding": None} if "content-encoding" in response.headers else {}
        return HeaderEdits(set=tuple(fields.items()), remove=tuple(name for name in removed if name not in fields))

    async def _packed(self, content: Content, made: bytes) -> bytes:
        return made if self.body is not None else await content.packed(made)


def _type_of(value: object) -> str:
    return "text/plain; charset=utf-8" if isinstance(value, str) else "application/json"


async def _readable(content: Content, response: Response, limit: int) -> bytes | None:
    """The body out of its coding; None where it cannot be read, or is a part of one."""
    if response.body is None or response.status == HTTPStatus.PARTIAL_CONTENT:
        return None
    try:
        return await content.plain(response.body, limit)
    except (UnknownCoding, Unreadable, TooLong):
        return None


class _Whole(BodyEditor):
    """Keeps an answer up to the route's limit and edits it when it has ended; a longer one passes as it is."""

    def __init__(self, answers: Answers, response: Response, request: Request, context: Context) -> None:
        self._answers = answers
        self._about = (response, request, context)
        self._kept: bytearray | None = bytearray()

    async def feed(self, piece: bytes) -> bytes:
        if self._kept is None:
            return piece
        self._kept += piece
        if len(self._kept) <= self._about[2].limit:
            return b""
        passed, self._kept = bytes(self._kept), None
        return passed

    async def finish(self) -> bytes:
        return b"" if self._kept is None else self._answers.made_of(bytes(self._kept), *self._about)
