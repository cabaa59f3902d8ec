"""What limits need of the rest of the file: a consumer, tiers, a place where they outlast a restart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from extproc.config.limits import KINDS
from extproc.config.model import MEMORY
from extproc.config.raw import Raw, anonymous, inherited, items, mapping
from extproc.core.problems import Finding, Path

LONG: Final = ("/day", "/week", "/month")
OF_SOMEBODY: Final = ("tier", "consumer", "claim")


def check_counted(raw: Raw) -> list[Finding]:
    return [
        *_without_tiers(raw, mapping(raw.get("defaults")), ("defaults",)),
        *(finding for index, route in items(raw, "routes") for finding in _route(raw, route, ("routes", index))),
        *_unkept(raw),
        *_unsaved_usage(raw),
    ]


def _route(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    yield from _without_tiers(raw, route, path)
    own = route.get("limits") is not None
    for index, per in _limited(inherited(raw, route, "limits")):
        if per in OF_SOMEBODY and anonymous(raw, route):
            hint = "write limits of its own, per address or route, or limits: []"
            said = f"a limit per {per} needs a consumer, and nobody is asked who they are"
            yield Finding((*path, "limits", index) if own else path, said, hint)


def _without_tiers(raw: Raw, block: Raw, path: Path) -> Iterator[Finding]:
    uses: Any = block.get("limits")
    for index, per in _limited(uses):
        if per == "tier" and not raw.get("tiers") and not set(KINDS).intersection(mapping(uses[index])):
            hint = "write tiers: {NAME: {rate: 10/s}}"
            yield Finding((*path, "limits", index), "a limit by tier, and no tiers", hint)


def _limited(uses: Any) -> Iterator[tuple[int, str]]:
    """What each limit of a list counts by."""
    for index, use in enumerate(uses if isinstance(uses, list) else []):
        yield index, "tier" if use == "tier" else str(mapping(use).get("per")).partition(":")[0]


def _unkept(raw: Raw) -> Iterator[Finding]:
    """A month's quota that begins anew with every restart is none."""
    stores = mapping(mapping(raw.get("sidecar")).get("stores"))
    if (stores.get("counters") or MEMORY) != MEMORY or stores.get("quotas") is not None:
        return
    for path, limits in _written(raw):
        for key in ("quota", "tokens"):
            if str(limits.get(key)).endswith(LONG):
                said = "counters are in memory, and a quota of a day or longer must outlast a restart"
                yield Finding((*path, key), said, "write sidecar: {stores: {quotas: file:quotas.sqlite}}")


def _unsaved_usage(raw: Raw) -> Iterator[Finding]:
    sidecar = mapping(raw.get("sidecar"))
    stores = mapping(sidecar.get("stores"))
    if sidecar.get("usage") is None or (stores.get("counters") or MEMORY) != MEMORY or stores.get("quotas") is not None:
        return
    said = "counters are in memory, and usage is kept in the file of the quotas"
    yield Finding(("sidecar", "usage"), said, "write sidecar: {stores: {quotas: file:quotas.sqlite}}")


def _written(raw: Raw) -> Iterator[tuple[Path, Raw]]:
    """Every mapping that says limits."""
    for block in ("tiers", "consumers"):
        for name, limits in mapping(raw.get(block)).items():
            yield (block, name), mapping(limits)
    routes: list[tuple[Path, Raw]] = [(("routes", index), route) for index, route in items(raw, "routes")]
    for path, route in [(("defaults",), mapping(raw.get("defaults"))), *routes]:
        uses = route.get("limits")
        for index, use in enumerate(uses if isinstance(uses, list) else []):
            yield (*path, "limits", index), mapping(use)
