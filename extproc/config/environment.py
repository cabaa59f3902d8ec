"""`${NAME}` and `${NAME:=default}` in gateway.yaml. The only substitution there is, and only in values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

REFERENCE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::=(?P<default>[^}]*))?\}")
WRITTEN: Final = re.compile(r"\$\{[^}]*\}?")  # a reference, or what was meant to be one


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """The text with every reference replaced; a value is taken as it is, never read again.

    Raises:
        ValueError: a name without a default is not set, or `${` begins something else: a typo must not pass as text.
    """

    def replacement(written: re.Match[str]) -> str:
        match = REFERENCE.fullmatch(written[0])
        if match is None:
            raise ValueError(f"{written[0]!r} is no reference: write ${{NAME}} or ${{NAME:=default}}")
        value = environment.get(match["name"]) or match["default"]
        if value is None:
            raise ValueError(f"the environment variable {match['name']} is not set and has no default")
        return value

    return WRITTEN.sub(replacement, text) if "${" in text else text
