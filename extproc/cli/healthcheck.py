"""Whether a sidecar is ready, asked as an orchestrator asks: every few seconds, in images that have no curl.

The standard library's HTTP client only: it starts at once, and goes by no proxy.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import Final

TIMEOUT: Final = 2.0
MOST: Final = 256  # bytes that are read of an answer: a sidecar says no more
HIGHEST_PORT: Final = 65_535


class NotReady(Exception):
    """The sidecar is not ready, in a sentence."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
    if match is None or not 1 <= int(match[3]) <= HIGHEST_PORT:
        raise ValueError(f"{text!r} is not an address: write HOST:PORT, IPv6 hosts in brackets")
    return match[1] or match[2], int(match[3])


def check_ready(host: str, port: int) -> None:
    """Raises NotReady unless /readyz says that the sidecar is."""
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        status, text = answer.status, answer.read(MOST)
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(f"no sidecar answers at {at}: {_words(error)}") from None
    finally:
        connection.close()
    if status != http.client.OK:
        raise NotReady(f"the sidecar at {at} is not ready: /readyz answers {status}")
    if _said(text) != "ready":
        raise NotReady(f"no sidecar answers at {at}: /readyz does not say that it is ready")


def _said(text: bytes) -> object:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document.get("status") if isinstance(document, dict) else None


def _words(error: Exception) -> str:
    """Nothing of what a stranger answered: it may hold anything."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else f"no HTTP ({type(error).__name__})"
