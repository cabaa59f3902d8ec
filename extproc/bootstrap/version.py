"""The oldest Envoy that should run what is rendered here. Imports nothing: `extproc up` asks before it renders."""

from __future__ import annotations

from typing import Final

# Every setting is there since 1.36, and the end-to-end tests pass on it; what counts are the holes that were closed
# since: several unasked-for replies in one ext_proc message (CVE-2026-47207, here in 1.38.3), a reset during a route's
# own ext_authz call (CVE-2026-47205), early data behind a CONNECT (CVE-2025-64763), cookies and bombs over HTTP/2.
OLDEST: Final = (1, 38, 3)


def spelled(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


def warning(version: tuple[int, int, int] | None) -> str | None:
    """What an operator should know of the Envoy that is there, or None."""
    if version is None:
        return f"this Envoy does not say its version: it should be {spelled(OLDEST)} or later"
    if version < OLDEST:
        return f"Envoy {spelled(version)} has known holes: use {spelled(OLDEST)} or later"
    return None
