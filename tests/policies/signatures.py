"""Requests signed as RFC 9421 says, or differently on purpose. The signer knows nothing of the verifier."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

SECRET: Final = "a secret of at least thirty-two bytes"
ALWAYS: Final = ("@method", "@authority", "@path", "@query")
KEY_ID: Final = "billing"


def derived(method: str, host: str, path: str, query: str = "") -> dict[str, str]:
    return {"@method": method, "@authority": host, "@path": path, "@query": f"?{query}"}


def identifier(component: str) -> str:
    """One that has parameters comes with its quotes."""
    return component if component.startswith('"') else f'"{component}"'


def line_of(covered: Sequence[str], parameters: Mapping[str, object]) -> str:
    """The value of one label of signature-input. A parameter of the value `...` is left out."""
    names = " ".join(map(identifier, covered))
    stated = {name: value for name, value in parameters.items() if value is not ...}
    return f"({names})" + "".join(f";{name}={spelled(value)}" for name, value in stated.items())


def spelled(value: object) -> str:
    """A text in quotes; behind a NUL, as it stands."""
    return f'"{value}"' if isinstance(value, str) and not value.startswith("\0") else str(value).lstrip("\0")


def signature_over(values: Mapping[str, str], covered: Sequence[str], line: str, secret: str = SECRET) -> str:
    lines = [f"{identifier(name)}: {values[name]}" for name in covered]
    base = "\n".join([*lines, f'"@signature-params": {line}'])
    return base64.b64encode(hmac.digest(secret.encode(), base.encode("latin-1"), hashlib.sha256)).decode()


def signed(
    values: Mapping[str, str],
    created: object,
    covered: Sequence[str] = ALWAYS,
    *,
    secret: str = SECRET,
    label: str = "sig",
    **parameters: object,
) -> dict[str, str]:
    """The two headers for a message of which `values` are the components."""
    line = line_of(covered, {"created": created, "keyid": KEY_ID, **parameters})
    signature = signature_over(values, covered, line, secret)
    return {"signature-input": f"{label}={line}", "signature": f"{label}=:{signature}:"}
