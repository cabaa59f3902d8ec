"""Logins of one host must not share what tells them apart: their cookie, and the path that browsers come back to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from extproc.core.problems import Finding

CALLBACK: Final = "/oauth2/callback"  # where `login: {}` sends browsers back to
APART: Final = {
    "cookie": ("extproc-session", "signing in by one would sign out of the other"),
    "callback": (CALLBACK, "nobody could say whose login came back"),
}


def check_logins(methods: Mapping[str, Any]) -> Iterator[Finding]:
    known: dict[tuple[str, str, str], str] = {}
    for name, method in methods.items():
        login = method.get("login") if isinstance(method, Mapping) else None
        if not isinstance(login, Mapping):
            continue
        for key, (otherwise, harm) in APART.items():
            value = str(login.get(key, otherwise))
            first = known.setdefault((key, value, str(login.get("url")).rstrip("/")), name)
            if first != name:
                said = f"is that of {first} on the same host ({value}): {harm}"
                yield Finding(("authentication", name, "login", key), said, f"write another {key}")
