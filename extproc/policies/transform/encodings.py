"""Content codings (RFC 9110 §8.4.1): a body taken out of one and put back, never longer than was asked for.

A few bytes may hold gigabytes, so nothing is unpacked beyond the limit: every library is asked for so much and no more.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP: Final = 31  # zlib's windowBits: a gzip wrapper around 32 KiB
WRAPPED: Final = 15
RAW: Final = -15
ZSTD_WINDOW: Final = 23  # 8 MiB, as RFC 9659 demands of whoever writes for HTTP
# Between what is saved and what it takes: a body passes once.
GZIP_LEVEL: Final = 5
BROTLI_QUALITY: Final = 4
ZSTD_LEVEL: Final = 3


class UnknownCoding(Exception):
    """A coding that is not read here, or several around each other."""


class Unreadable(Exception):
    """Not what the coding says it is."""


class TooLong(Exception):
    """There is more in it than the limit."""


def is_known(coding: str) -> bool:
    return coding in DECODERS


def decode(coding: str, body: bytes, limit: int) -> bytes:
    """Raises UnknownCoding, Unreadable or TooLong."""
    if coding not in DECODERS:
        raise UnknownCoding
    if not body:
        return body
    try:
        found = DECODERS[coding](body, limit)
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError):
        raise Unreadable from None
    if len(found) > limit:
        raise TooLong
    return found


def encode(coding: str, body: bytes) -> bytes:
    return ENCODERS[coding](body)


def _gunzip(body: bytes, limit: int) -> bytes:
    return _members(body, limit, lambda: zlib.decompressobj(GZIP))


def _inflate(body: bytes, limit: int) -> bytes:
    """`deflate` is zlib's format; some senders leave its wrapper out."""
    wrapped = body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1] if len(body) > 1 else 1) % 31 == 0
    return _members(body, limit, lambda: zlib.decompressobj(WRAPPED if wrapped else RAW))


def _unzstd(body: bytes, limit: int) -> bytes:
    options = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW}
    return _members(body, limit, lambda: zstd.ZstdDecompressor(options=options))


def _members(body: bytes, limit: int, begin: Callable[[], Any]) -> bytes:
    """Several may stand one behind the other (RFC 1952 §2.2, RFC 8878 §3)."""
    found, rest = b"", body
    while rest:
        one = begin()
        found += one.decompress(rest, limit + 1 - len(found))
        if len(found) > limit:
            raise TooLong
        if not one.eof:
            raise Unreadable
        rest = one.unused_data
    return found


def _unbrotli(body: bytes, limit: int) -> bytes:
    reader = brotli.Decompressor()
    found: bytes = reader.process(body, output_buffer_limit=limit + 1)
    while not reader.is_finished() and len(found) <= limit:
        more = reader.process(b"", output_buffer_limit=limit + 1)
        if not more and reader.can_accept_more_data():
            raise Unreadable
        found += more
    return found


def _gzip(body: bytes) -> bytes:
    """Without a time, so that the same body is the same bytes."""
    writer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
    return writer.compress(body) + writer.flush()


DECODERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": lambda body: zlib.compress(body, GZIP_LEVEL),
    "br": lambda body: bytes(brotli.compress(body, quality=BROTLI_QUALITY)),
    "zstd": lambda body: bytes(zstd.compress(body, ZSTD_LEVEL)),
}
