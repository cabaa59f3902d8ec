"""`extproc serve --ratelimit-config DIR`: what was written, as the options of the service."""

from __future__ import annotations

import asyncio
import sys
from fractions import Fraction
from pathlib import Path
from typing import Final

from extproc.app.ratelimit import UNIX, RateLimitOptions, RateLimitServer
from extproc.app.scheduling import prefer_throughput
from extproc.app.server_certificates import TlsFiles
from extproc.cli.healthcheck import parse_address
from extproc.cli.output import write_json
from extproc.cli.running import loop_factory
from extproc.config.model import MEMORY
from extproc.config.ratelimit_folder import load_limits
from extproc.config.redis_url import check_redis_url, is_redis_url, names_password
from extproc.core.descriptors import limits_of
from extproc.core.headers import is_token
from extproc.core.rate_limiter import Modes
from extproc.plan.model import Endpoint
from extproc.services.ratelimit_files import Shown

DEFAULT: Final = "default"
HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
STORE_VARIABLE: Final = "EXTPROC_RATELIMIT_STORE"
LONGEST_PATH: Final = 107  # bytes of a Unix socket's name (unix(7))


def options_of(
    folder: Path | None,
    address: str,
    admin: str | None,
    near: str,
    headers: str | None,
    store: str,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    *,
    shown: bool,
    merge: bool,
    shadow: bool,
    quota: bool,
    metadata: bool,
) -> RateLimitOptions:
    """`shown` says that others see the store's URL, for it was typed. Raises ValueError with a sentence."""
    return RateLimitOptions(
        folder=folder or Path(),
        address=_address(address),
        admin=Endpoint(*parse_address(admin)) if admin is not None else None,
        redis=_redis(store, shown=shown),
        tls=_tls(address, certificate, key, client_ca),
        merge=merge,
        modes=Modes(_ratio(near), shadow=shadow, quota=quota),
        shown=Shown(_names(headers) if headers is not None else None, metadata=metadata),
    )


def _address(text: str) -> str:
    if not text.startswith(UNIX):
        return str(Endpoint(*parse_address(text)))
    path = text.removeprefix(UNIX)
    if not path or len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"{text!r} is no address: a socket's path has 1 to {LONGEST_PATH} bytes")
    return text


def _tls(address: str, certificate: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ValueError("write both --tls-cert and --tls-key")
    if address.startswith(UNIX):
        raise ValueError("a socket of this machine has no TLS: its folder says who may enter")
    return TlsFiles(certificate, key, client_ca)


def _redis(store: str, *, shown: bool) -> str | None:
    if store == MEMORY:
        return None
    if not is_redis_url(store):
        raise ValueError(f"there is no store of that name: write {MEMORY} or the URL of a Redis")
    if names_password(check_redis_url(store)) and shown:
        raise ValueError(f"a password on a command line is for everybody to see: put the URL into {STORE_VARIABLE}")
    return store


def _ratio(text: str) -> Fraction:
    """Exactly what was written: a share of 4,000,000,000 is one request more or less in binary."""
    try:
        ratio = Fraction(text)
    except (ValueError, ZeroDivisionError):
        ratio = Fraction(-1)
    if not 0 <= ratio <= 1:
        raise ValueError(f"{text!r} is no share: write a number from 0 to 1")
    return ratio


def _names(text: str) -> tuple[str, str, str]:
    if text == DEFAULT:
        return HEADERS
    names = [name.strip() for name in text.split(",")]
    if len(names) != len(HEADERS) or not all(is_token(name.lower()) for name in names):
        raise ValueError(f"{text!r}: write three header names with commas between them, or {DEFAULT}")
    return names[0], names[1], names[2]


def check_limits(folder: Path, *, merge: bool, as_json: bool) -> None:
    """Raises RefusedLimits."""
    loaded = load_limits(folder, merge=merge)
    limits = sum(1 for root in loaded.domains.values() for _ in limits_of(root))
    if as_json:
        write_json({"ok": True, "files": len(loaded.files), "domains": len(loaded.domains), "limits": limits})
        return
    counts = (("file", len(loaded.files)), ("domain", len(loaded.domains)), ("limit", limits))
    told = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts)
    sys.stdout.write(f"{folder}: ok ({told})\n")


def serve_limits(options: RateLimitOptions) -> None:
    prefer_throughput()

    async def serve() -> None:
        await RateLimitServer(options).run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())
