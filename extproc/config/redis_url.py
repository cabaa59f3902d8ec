"""Where a Redis is: one URL that says all, of which nothing may be lost or shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

SCHEMES: Final = ("redis", "rediss", "unix")
NO_REDIS_URL: Final = (
    "not the URL of a Redis: write redis://HOST:PORT/NUMBER, rediss:// for TLS, or unix:///SOCKET?db=NUMBER"
)
PATTERN: Final = r"(?:rediss?://|unix:///)\S+"
NO_SHARED_URL: Final = (
    "not the URL of a Redis: write redis://HOST:PORT/NUMBER, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, "
    "redis+cluster://HOST:PORT,HOST:PORT, each with rediss for TLS, or unix:///SOCKET?db=NUMBER"
)
SHARED_PATTERN: Final = r"rediss?(?:\+cluster)?://\S+|rediss?\+sentinel://[^/\s]+/\S+|unix://[^/\s]*/\S+"
MANY: Final = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?:(?P<user>[^@:/\s]*)(?::(?P<password>[^@/\s]*))?@)?"
    r"(?P<hosts>[^@/?#\s]+)(?:/(?P<service>[A-Za-z0-9._-]+)(?:/(?P<database>[0-9]{1,5}))?)?/?"
)
HOST: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
HIGHEST_PORT: Final = 65_535
DATABASE: Final = re.compile(r"/?[0-9]{0,5}")
SELECTED: Final = re.compile(r"(?:db=[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Several servers that are one Redis: Sentinels that know where `service` is, or nodes of a Cluster."""

    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False


def is_redis_url(text: str) -> bool:
    """Whether that is what somebody meant to write."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def check_redis_url(text: str) -> str:
    """Raises ValueError with a sentence that quotes nothing: the URL may hold a password.

    Options in the query would change timeouts and retries that are set here, or switch the check of certificates off.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(NO_REDIS_URL) from None
    if parts.scheme not in SCHEMES or parts.fragment or re.search(r"\s", text):
        raise ValueError(NO_REDIS_URL)
    if parts.scheme == "unix":
        good = len(parts.path) > 1 and not parts.hostname and SELECTED.fullmatch(parts.query) is not None
    else:
        good = bool(parts.hostname) and port != 0 and not parts.query and DATABASE.fullmatch(parts.path) is not None
    if not good:
        raise ValueError(NO_REDIS_URL)
    return text


def names_password(text: str) -> bool:
    return urlsplit(text).password is not None


def check_shared_url(text: str) -> str:
    """As check_redis_url, for what may be kept by several servers. Raises ValueError."""
    try:
        return check_redis_url(text)
    except ValueError:
        if place_of(text) is None:
            raise ValueError(NO_SHARED_URL) from None
    return text


def place_of(text: str) -> RedisPlace | None:
    """Who is named by a URL of several servers; None where it is no such URL."""
    found = MANY.fullmatch(text)
    hosts = [HOST.fullmatch(host) for host in found["hosts"].split(",")] if found else []
    named = tuple((host["six"] or host["name"], int(host["port"])) for host in hosts if host)
    if found is None or len(named) != len(hosts) or not all(1 <= port <= HIGHEST_PORT for _, port in named):
        return None
    if (found["kind"] == "sentinel") != bool(found["service"]):
        return None
    return RedisPlace(
        hosts=named,
        service=found["service"] or "",
        database=int(found["database"] or 0),
        username=unquote(found["user"] or ""),
        password=unquote(found["password"] or ""),
        tls=found["scheme"] == "rediss",
    )
