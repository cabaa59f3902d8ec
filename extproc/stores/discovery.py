"""Where an issuer's keys are, by its own word (OpenID Connect Discovery 1.0 §4)."""

from __future__ import annotations

from typing import Final

from extproc.config.settings import reachable
from extproc.core.strict_json import loads_strictly

WELL_KNOWN: Final = "/.well-known/openid-configuration"


def document_of(issuer: str) -> str:
    """The URL to ask. Raises ValueError for an issuer that has none."""
    try:
        asked = reachable(issuer)
    except ValueError as error:
        raise ValueError(f"the issuer would be asked where its keys are, and is {error}") from None
    if "?" in asked:
        raise ValueError("the issuer would be asked where its keys are, and its URL has a query")
    return asked.removesuffix("/") + WELL_KNOWN


def jwks_location(document: bytes, issuer: str) -> str:
    """Raises ValueError where it is the document of somebody else, or leads to where nobody should be asked."""
    stated = loads_strictly(document)
    if not isinstance(stated, dict) or stated.get("issuer") != issuer:  # §4.3: exactly, or it could be another tenant's
        raise ValueError("the discovery document is not this issuer's")
    location = stated.get("jwks_uri")
    if not isinstance(location, str):
        raise ValueError("the discovery document names no jwks_uri")
    return reachable(location)
