"""What a message's content is: its media type, charset and coding, and the document in it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from extproc import Headers, loads_strictly

from .encodings import decode, encode, is_known

IDENTITY: Final = ""
# JSON is UTF-8 (RFC 8259 §8.1); for texts, those whose every byte is a character or an error.
OF_JSON: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})
OF_TEXT: Final = frozenset({*OF_JSON, "iso-8859-1", "windows-1252"})
CHARSET: Final = re.compile(r""";\s*charset\s*=\s*"?([^\s";]+)"?""", re.IGNORECASE)
# In the loop that answers everybody, this takes a millisecond or so; what is longer is packed in a thread.
AT_ONCE: Final = 32 * 1024
TEXTS: Final = frozenset({"application/javascript", "application/xml", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class Content:
    """As the headers say. `coding` is empty where there is none."""

    media_type: str
    charset: str
    coding: str

    @staticmethod
    def of(headers: Headers) -> Content:
        written = headers.get("content-type") or ""
        charset = CHARSET.search(written)
        coding = (headers.get("content-encoding") or IDENTITY).strip().lower()
        return Content(
            written.partition(";")[0].strip().lower(),
            charset[1].lower() if charset else "",
            IDENTITY if coding == "identity" else coding,
        )

    @property
    def is_json(self) -> bool:
        named = self.media_type == "application/json" or self.media_type.endswith("+json")
        return named and self.charset in OF_JSON

    @property
    def is_text(self) -> bool:
        named = self.media_type.startswith("text/") or self.media_type in TEXTS or self.media_type.endswith("+xml")
        return (named and self.charset in OF_TEXT) or self.is_json

    @property
    def is_readable(self) -> bool:
        return not self.coding or is_known(self.coding)

    async def plain(self, body: bytes, limit: int) -> bytes:
        """Raises UnknownCoding, Unreadable or TooLong."""
        if not self.coding:
            return body
        # What is small may hold much: also unpacking is done elsewhere, unless the limit is small as well.
        return await asyncio.to_thread(decode, self.coding, body, limit)

    async def packed(self, body: bytes) -> bytes:
        if not self.coding:
            return body
        if len(body) <= AT_ONCE:
            return encode(self.coding, body)
        return await asyncio.to_thread(encode, self.coding, body)


def document_in(body: bytes | None, *, lists: bool = False) -> dict[str, Any] | list[Any] | None:
    """The object in a body, or with `lists` the list; None for every other value. Raises ValueError for what is no
    JSON, or not the same to every reader."""
    if not body:
        return None
    document = loads_strictly(body)
    return document if isinstance(document, dict) or (lists and isinstance(document, list)) else None


def spelled(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def text_of(value: object) -> str:
    """The value of an expression, where a text is wanted."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def body_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else spelled(value)


def replaced(body: bytes, charset: str, pairs: tuple[tuple[str, str], ...]) -> bytes:
    """Raises ValueError where the body is not in its charset, or what is to stand in it cannot be."""
    codec = charset if charset in ("iso-8859-1", "windows-1252") else "utf-8"
    text = body.decode(codec)
    for old, new in pairs:
        text = text.replace(old, new)
    return text.encode(codec)
