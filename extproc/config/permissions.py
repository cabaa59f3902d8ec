"""What `authorize` and `forward` must agree on with the rest of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from extproc.config.expressions import asks_who, compile_condition
from extproc.config.raw import Raw, anonymous, inherited, items, mapping
from extproc.config.sentences import nearest
from extproc.core.problems import Finding, Path

OF_CONSUMERS: Final = ("scopes", "any_scope", "groups", "claims", "consumers", "tiers")
NOT_ASKED: Final = "a rule about the consumer, and nobody is asked who they are"
OWN_RULE: Final = "authenticate, or write a rule of its own about the request"


def check_permissions(data: Any) -> list[Finding]:
    raw = mapping(data)
    found = [*_block(raw, mapping(raw.get("defaults")), ("defaults",))]
    for index, route in items(raw, "routes"):
        found += [*_block(raw, route, ("routes", index)), *_nobody(raw, route, ("routes", index))]
    return found


def _block(raw: Raw, block: Raw, path: Path) -> Iterator[Finding]:
    tiers = mapping(raw.get("tiers"))
    for where, rule in _rules(block.get("authorize"), (*path, "authorize")):
        for index, name in enumerate(_list(rule.get("tiers"))):
            if isinstance(name, str) and name not in tiers:
                yield Finding((*where, "tiers", index), f"there is no tier {name!r}", nearest(name, tiers))
    if block.get("forward") == "signed" and not mapping(raw.get("sidecar")).get("signing"):
        hint = "write sidecar: {signing: {keys: [FILE]}}"
        yield Finding((*path, "forward"), "tokens are to be signed, and there is no key to sign with", hint)


def _nobody(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    """Of a route that anybody may call: a rule about consumers would refuse everybody."""
    if not anonymous(raw, route):
        return
    own = route.get("authorize") is not None
    for where, rule in _rules(inherited(raw, route, "authorize"), (*path, "authorize")):
        reading = next((part for part in OF_CONSUMERS if rule.get(part)), None)
        if reading is not None or _asks_who(rule.get("when")):
            place = where if reading is None else (*where, reading)
            yield Finding(place if own else path, NOT_ASKED, OWN_RULE)
    if route.get("forward") == "signed":
        yield Finding(
            (*path, "forward"), "nobody is asked who they are, so there is nobody to sign for", "authenticate"
        )


def _rules(written: Any, path: Path) -> Iterator[tuple[Path, Raw]]:
    """Each rule with its place; a text is one of which it is the condition."""
    listed = [((*path, index), rule) for index, rule in enumerate(written)] if isinstance(written, list) else []
    for where, rule in listed or [(path, written)]:
        yield where, {"when": rule} if isinstance(rule, str) else mapping(rule)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _asks_who(condition: Any) -> bool:
    """What does not compile is told where it stands."""
    if not isinstance(condition, str):
        return False
    try:
        compile_condition(condition)
    except ValueError:
        return False
    return asks_who(condition)
