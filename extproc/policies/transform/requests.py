"""Edits of a request on its way to the upstream. What two servers could read differently is refused, not passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from extproc import (
    Context,
    Continue,
    Decision,
    Expression,
    HeaderEdits,
    LocalReply,
    Ports,
    Request,
    Rewrite,
    parameters,
    refusal,
    variables,
)

from .content import Content, body_of, document_in, replaced, spelled, text_of
from .encodings import TooLong, UnknownCoding, Unreadable
from .members import Members, TwoNames
from .settings import QueryEdits, RequestEdits, mentions
from .validation import Described, described_by

# RFC 3986 §3.3, and `%` as it is: a value may be a part of the client's own path, which is escaped already.
OF_PATHS: Final = "/%:@!$&'()*+,;=-._~"
OF_QUERIES: Final = "-._~"
Seen = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Query:
    renamed: Mapping[str, str]
    removed: frozenset[str]
    values: Mapping[str, Expression]

    @staticmethod
    def of(edits: QueryEdits, ports: Ports) -> Query:
        values = {name: ports.expression(text) for name, text in edits.set.items()}
        return Query(edits.rename, frozenset(edits.remove), values)

    def __bool__(self) -> bool:
        return bool(self.renamed or self.removed or self.values)

    def edited(self, query: str, seen: Seen) -> str:
        """The others stay as they are written, in their order."""
        kept = [(unquote_plus(one.name), one) for one in parameters(query)]
        kept = [(self.renamed.get(name, name), one) for name, one in kept]
        gone = self.removed | self.values.keys()
        told = [
            f"{quote(name, OF_QUERIES)}={one.value}"
            if name != unquote_plus(one.name)
            else _written(one.name, one.value)
            for name, one in kept
            if name not in gone
        ]
        told += [f"{name}={quote(text_of(value.value(seen)), OF_QUERIES)}" for name, value in self.values.items()]
        return "&".join(told)


def _written(name: str, value: str) -> str:
    return f"{name}={value}" if value else name


@dataclass(frozen=True, slots=True)
class Requests:
    method: Expression | None
    path: Expression | None
    query: Query
    headers: Mapping[str, Expression]
    removed: tuple[str, ...]
    described: Described | None
    members: Members
    body: Expression | None
    texts: tuple[tuple[str, str], ...]
    reads_json: bool

    @staticmethod
    def of(edits: RequestEdits, ports: Ports) -> Requests:
        return Requests(
            ports.expression(edits.method) if edits.method else None,
            ports.expression(edits.path) if edits.path else None,
            Query.of(edits.query, ports),
            {name: ports.expression(text) for name, text in edits.headers.items()},
            tuple(edits.remove_headers),
            described_by(edits.schema_, edits.openapi),
            Members.of(edits.json_, ports),
            ports.expression(edits.body) if edits.body else None,
            tuple((one.replace, one.with_) for one in edits.text),
            mentions(edits, "request.json"),
        )

    async def decide(self, request: Request, context: Context) -> Decision:
        """Raises CouldNotDecide where an expression fails."""
        content = Content.of(request.headers)
        try:
            plain = await content.plain(request.body, context.limit) if request.body and self._reads else None
            document = self._document(content, plain)
        except _Refused as refused:
            return refused.reply
        except UnknownCoding:
            return _unsupported("this content-encoding is not taken here")
        except Unreadable:
            return _malformed("the body is not what its content-encoding says")
        except TooLong:
            return refusal(413, "body_too_large", f"a body has at most {context.limit} bytes here, unpacked too")
        unfit = self.described.unfit(request, document, plain) if self.described else None
        return unfit or await self._edited(request, context, content, plain, document)

    @property
    def _reads(self) -> bool:
        return bool(self._needs_json or self.texts)

    @property
    def _needs_json(self) -> bool:
        return bool(self.members or self.reads_json or self.described)

    def _document(self, content: Content, plain: bytes | None) -> Any:
        """Raises _Refused."""
        if not plain or not self._needs_json:
            return None
        if not content.is_json:
            raise _Refused(_unsupported("the body must be JSON, in UTF-8"))
        try:
            document = document_in(plain, lists=True)
        except (ValueError, RecursionError):
            raise _Refused(_malformed("the body is no JSON that all readers understand alike")) from None
        if document is None and self.members:
            raise _Refused(_malformed("the body must be a JSON object"))
        try:
            self.members.check(document)
        except TwoNames:
            raise _Refused(_malformed("the body has names that differ only in case")) from None
        return document

    async def _edited(
        self, request: Request, context: Context, content: Content, plain: bytes | None, document: Any
    ) -> Decision:
        seen = variables(request, context.route, context.consumer, more={"request.json": document})
        rewrite = self._rewrite(request, seen)
        fields = {name: text_of(value.value(seen)) for name, value in self.headers.items()}
        made = self._made(content, plain, document, seen) if request.body is not None else None
        removed = dict.fromkeys(self.removed)
        if made is not None and self.body is not None:
            fields = {"content-type": "application/json", **fields}
            removed |= {"content-encoding": None}
        elif made is not None:
            made = await content.packed(made)
        if made is not None:  # they are of the body that the client sent (RFC 9530)
            removed |= dict.fromkeys(
                name for name in ("content-digest", "digest", "content-md5") if name in request.headers
            )
        edits = HeaderEdits(set=tuple(fields.items()), remove=tuple(name for name in removed if name not in fields))
        return Continue(request=edits, body=made, rewrite=rewrite)

    def _rewrite(self, request: Request, seen: Seen) -> Rewrite | None:
        if self.method is None and self.path is None and not self.query:
            return None
        path = quote(text_of(self.path.value(seen)), OF_PATHS) if self.path else None
        query = self.query.edited(request.query, seen) if self.query else None
        return Rewrite(text_of(self.method.value(seen)) if self.method else None, path, query)

    def _made(self, content: Content, plain: bytes | None, document: Any, seen: Seen) -> bytes | None:
        """What becomes of the body; None where it stays as it is."""
        if self.body is not None:
            return body_of(self.body.value(seen))
        if plain is None:
            return None
        made = plain
        if self.members and document is not None:
            self.members.edit(document, seen, seen)
            made = spelled(document)
        if self.texts and content.is_text:
            made = self._replaced(content, made)
        return None if made == plain else made

    def _replaced(self, content: Content, body: bytes) -> bytes:
        try:
            return replaced(body, content.charset, self.texts)
        except ValueError:
            return body


class _Refused(Exception):
    def __init__(self, reply: LocalReply) -> None:
        super().__init__(reply.reason)
        self.reply = reply


def _malformed(detail: str) -> LocalReply:
    return refusal(HTTPStatus.BAD_REQUEST, "malformed_body", detail)


def _unsupported(detail: str) -> LocalReply:
    return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_body", detail)
