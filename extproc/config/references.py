"""What two places of a file must agree on. Reads raw data, so that it speaks even where the model refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from extproc.core.problems import Finding, Path

Raw = Mapping[str, Any]


def check_references(data: Any) -> list[Finding]:
    """Every name that leads nowhere, every name used twice, every setting that its neighbours make meaningless."""
    raw = _mapping(data)
    return [
        *_repeated(raw, "listeners"),
        *_repeated(raw, "routes"),
        *_shared_addresses(raw),
        *_model_upstreams(raw),
        *_defaults(raw),
        *(finding for index, route in _routes(raw) for finding in _route(raw, route, ("routes", index))),
    ]


def _route(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    yield from _dangling(route, path, "upstream", _mapping(raw.get("upstreams")))
    yield from _dangling(route, path, "model", _mapping(raw.get("models")))
    yield from _authenticate(raw, route, path)
    yield from _limits(raw, route, path)
    yield from _sticky(raw, route, path)
    yield from _unshown_credentials(raw, route, path)


def _defaults(raw: Raw) -> Iterator[Finding]:
    defaults = _mapping(raw.get("defaults"))
    yield from _unknown_names(defaults.get("authenticate"), _mapping(raw.get("authentication")), ("defaults",))


def _authenticate(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    if "authenticate" not in route and "authenticate" not in _mapping(raw.get("defaults")):
        yield Finding(path, "nothing says who may call this route", "write authenticate, or authenticate: none")
    yield from _unknown_names(route.get("authenticate"), _mapping(raw.get("authentication")), path)


def _limits(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    uses = _inherited(raw, route, "limits")
    for use in uses if isinstance(uses, list) else []:
        per = "tier" if use == "tier" else _mapping(use).get("per")
        if per in ("tier", "consumer") and _anonymous(raw, route):
            hint = "write limits of its own, per address or route, or limits: []"
            yield Finding(path, f"a limit per {per} needs a consumer, and nobody is asked who they are", hint)
        if per == "tier" and not _mapping(raw.get("tiers")):
            yield Finding(path, "a limit by tier, and no tiers", "write tiers: {NAME: {rate: 10/s}}")


def _sticky(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    model = _mapping(_mapping(raw.get("models")).get(str(route.get("model"))))
    if model and model.get("sticky", "consumer") == "consumer" and _anonymous(raw, route):
        yield Finding(
            (*path, "model"), "sticky: consumer needs a consumer", "authenticate, or make the model sticky: none"
        )


def _unshown_credentials(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    """A credential is removed before the upstream, and the route is looked up again: a match on it would then fail."""
    headers = {"authorization"} | {
        str(_mapping(_mapping(method).get("api_key")).get("header"))
        for method in _mapping(raw.get("authentication")).values()
    }
    for name in _mapping(_mapping(route.get("match")).get("headers")):
        if name in headers:
            where = (*path, "match", "headers", name)
            yield Finding(where, f"{name} carries a credential, which no route may match on")


def _model_upstreams(raw: Raw) -> Iterator[Finding]:
    for model, settings in _mapping(raw.get("models")).items():
        for version, choice in _mapping(_mapping(settings).get("versions")).items():
            path = ("models", model, "versions", version)
            yield from _dangling(_mapping(choice), path, "upstream", _mapping(raw.get("upstreams")))


def _repeated(raw: Raw, block: str) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, item in _items(raw, block):
        name = item.get("name")
        if isinstance(name, str) and name in seen:
            where = (block, index, "name")
            yield Finding(where, f"{name!r} is already the name of {block}[{seen[name]}]", "names are unique")
        elif isinstance(name, str):
            seen[name] = index


def _shared_addresses(raw: Raw) -> Iterator[Finding]:
    admins = [("envoy", "admin"), ("sidecar", "admin")]
    places: list[tuple[Path, Any]] = [
        (("listeners", i, "address"), item.get("address")) for i, item in _items(raw, "listeners")
    ]
    places += [((block, key), _mapping(raw.get(block)).get(key)) for block, key in admins]
    seen: dict[str, Path] = {}
    for path, address in places:
        if isinstance(address, str) and address in seen:
            yield Finding(path, f"{address} is taken: {'.'.join(map(str, seen[address]))} has it")
        elif isinstance(address, str):
            seen[address] = path


def _dangling(item: Raw, path: Path, key: str, known: Raw) -> Iterator[Finding]:
    name = item.get(key)
    if isinstance(name, str) and name not in known:
        yield Finding((*path, key), f"there is no {key} {name!r}", nearest(name, known))


def _unknown_names(names: Any, known: Raw, path: Path) -> Iterator[Finding]:
    written = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    for index, name in enumerate(written):
        if isinstance(name, str) and name not in known and not (name == "none" and isinstance(names, str)):
            yield Finding((*path, "authenticate", index), f"there is no authentication {name!r}", nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...`, what there is, or nothing."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(options[:12])}" if options else ""


def _anonymous(raw: Raw, route: Raw) -> bool:
    return bool(_inherited(raw, route, "authenticate") == "none")


def _inherited(raw: Raw, route: Raw, key: str) -> Any:
    return route.get(key, _mapping(raw.get("defaults")).get(key))


def _routes(raw: Raw) -> Iterator[tuple[int, Raw]]:
    return _items(raw, "routes")


def _items(raw: Raw, block: str) -> Iterator[tuple[int, Raw]]:
    items = raw.get(block)
    for index, item in enumerate(items if isinstance(items, list) else []):
        yield index, _mapping(item)


def _mapping(value: Any) -> Raw:
    return value if isinstance(value, Mapping) else {}
