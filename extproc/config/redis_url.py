"""Where a Redis is: one URL that says all, of which nothing may be lost or shown."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("redis", "rediss", "unix")
NO_REDIS_URL: Final = (
    "not the URL of a Redis: write redis://HOST:PORT/NUMBER, rediss:// for TLS, or unix:///SOCKET?db=NUMBER"
)
PATTERN: Final = r"(?:rediss?://|unix:///)\S+"
DATABASE: Final = re.compile(r"/?[0-9]{0,5}")
SELECTED: Final = re.compile(r"(?:db=[0-9]{1,5})?")


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
