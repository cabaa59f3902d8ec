"""What two places of a file must agree on. Reads raw data, so that it speaks even where the model refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from extproc.config.choosable import check_choosable
from extproc.config.choosing import check_models
from extproc.config.counted import check_counted
from extproc.config.logins import CALLBACK, check_logins
from extproc.config.model import EnvoySettings, Sidecar
from extproc.config.raw import NOBODY, Raw
from extproc.config.raw import anonymous as _anonymous
from extproc.config.raw import inherited as _inherited
from extproc.config.raw import items as _items
from extproc.config.raw import mapping as _mapping
from extproc.config.rolled import check_rollouts
from extproc.config.sentences import nearest
from extproc.core.problems import Finding, Path, spell_path

GUESTS: Final = "anonymous"
CLIENT_CERTIFICATE: Final = "client_certificate"
API_KEY_HEADER: Final = "x-api-key"  # where `api_key: {}` looks
SIGNATURE_HEADERS: Final = frozenset({"signature", "signature-input"})  # where `hmac` looks
ADMINS: Final = {"envoy": str(EnvoySettings().admin), "sidecar": str(Sidecar().admin)}


def check_references(data: Any) -> list[Finding]:
    """Every name that leads nowhere, every name used twice, every setting that its neighbours make meaningless."""
    raw = _mapping(data)
    return [
        *_repeated(raw, "listeners"),
        *_repeated(raw, "routes"),
        *_shared_addresses(raw),
        *_model_upstreams(raw),
        *_reserved_names(raw),
        *_ways_back(raw),
        *_client_certificates(raw),
        *check_logins(_mapping(raw.get("authentication"))),
        *_defaults(raw),
        *check_choosable(raw),
        *check_models(raw),
        *check_counted(raw),
        *check_rollouts(raw),
        *(finding for index, route in _routes(raw) for finding in _route(raw, route, ("routes", index))),
    ]


def _route(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    yield from _dangling(route, path, "upstream", _mapping(raw.get("upstreams")))
    yield from _authenticate(raw, route, path)
    yield from _feedback(raw, route, path)
    yield from _unshown_credentials(raw, route, path)


def _defaults(raw: Raw) -> Iterator[Finding]:
    defaults = _mapping(raw.get("defaults"))
    yield from _unknown_names(defaults.get("authenticate"), _mapping(raw.get("authentication")), ("defaults",))


def _reserved_names(raw: Raw) -> Iterator[Finding]:
    if NOBODY in _mapping(raw.get("authentication")):
        hint = f"authenticate: {NOBODY} means a route that anybody may call"
        yield Finding(("authentication", NOBODY), f"{NOBODY!r} is no name for a method", hint)


def _ways_back(raw: Raw) -> Iterator[Finding]:
    """Who signed in comes back to a path that some route must serve, and judge by that very method."""
    for name, method in _mapping(raw.get("authentication")).items():
        if "login" not in _mapping(method):
            continue
        callback = str(_mapping(_mapping(method)["login"]).get("callback", CALLBACK))
        if not any(_names(raw, route, name) and _serves(route, callback) for _, route in _routes(raw)):
            said = f"no route that authenticates by {name} serves {callback}, where browsers come back to"
            hint = f"write one: match: {{path: {callback}}}, authenticate: {name}"
            yield Finding(("authentication", name, "login"), said, hint)


def _names(raw: Raw, route: Raw, method: Any) -> bool:
    named = _inherited(raw, route, "authenticate")
    return named == method or (isinstance(named, list) and method in named)


def _serves(route: Raw, path: str) -> bool:
    match = _mapping(route.get("match"))
    prefix = match.get("path_prefix")
    if isinstance(prefix, str):
        return path == prefix or path.startswith(prefix.rstrip("/") + "/")
    return bool(match.get("path") == path)


def _client_certificates(raw: Raw) -> Iterator[Finding]:
    """Without an authority nobody is asked for a certificate, and every request would be refused."""
    if any(_mapping(item.get("tls")).get("client_ca") is not None for _, item in _items(raw, "listeners")):
        return
    for name, method in _mapping(raw.get("authentication")).items():
        if CLIENT_CERTIFICATE in _mapping(method):
            hint = "write listeners: [{tls: {client_ca: FILE, ...}}]"
            where: Path = ("authentication", name, CLIENT_CERTIFICATE)
            yield Finding(where, "no listener asks its clients for a certificate", hint)


def _authenticate(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    if _inherited(raw, route, "authenticate") is None:
        yield Finding(path, "nothing says who may call this route", "write authenticate, or authenticate: none")
    yield from _unknown_names(route.get("authenticate"), _mapping(raw.get("authentication")), path)


def _feedback(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    if not route.get("feedback"):
        return
    if _anonymous(raw, route) or _lets_in_guests(raw, route):
        said = "a consumer scores its own requests, and nobody is known to be asking"
        yield Finding((*path, "feedback"), said, "write authenticate, with methods that tell who it is")
    scores = [_mapping(_mapping(model).get("score")) for model in _mapping(raw.get("models")).values()]
    if not any(score.get("feedback") is True for score in scores):
        yield Finding((*path, "feedback"), "no model takes feedback", "write score: {feedback: true} in one")


def _lets_in_guests(raw: Raw, route: Raw) -> bool:
    methods = _mapping(raw.get("authentication"))
    return any(GUESTS in _mapping(method) and _names(raw, route, name) for name, method in methods.items())


def _unshown_credentials(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    """A credential is removed before the upstream, or set, and the route is looked up again: a match on it would then
    fail, or hold."""
    headers = {"authorization"} | {
        str(_mapping(method["api_key"]).get("header", API_KEY_HEADER))
        for method in _mapping(raw.get("authentication")).values()
        if "api_key" in _mapping(method)
    }
    if any("hmac" in _mapping(method) for method in _mapping(raw.get("authentication")).values()):
        headers |= SIGNATURE_HEADERS
    queried = {
        str(_mapping(method["api_key"])["query"])
        for method in _mapping(raw.get("authentication")).values()
        if _mapping(_mapping(method).get("api_key")).get("query") is not None
    }
    upstreams = _mapping(raw.get("upstreams")).values()
    headers |= {str(_mapping(_mapping(upstream).get("credential")).get("header")) for upstream in upstreams}
    for part, names in (("headers", headers), ("query", queried)):
        for name in _mapping(_mapping(route.get("match")).get(part)):
            if name in names:
                yield Finding((*path, "match", part, name), f"{name} carries a credential, which no route may match on")


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
    """What nobody wrote comes first, so that a problem is told where somebody can mend it."""
    written = {block: _mapping(raw.get(block)).get("admin") for block in ADMINS}
    places: list[tuple[Path, Any]] = [((block, "admin"), ADMINS[block]) for block in ADMINS if written[block] is None]
    places += [(("listeners", index, "address"), item.get("address")) for index, item in _items(raw, "listeners")]
    places += [((block, "admin"), address) for block, address in written.items()]
    seen: dict[str, Path] = {}
    for path, address in places:
        if isinstance(address, str) and address in seen:
            yield Finding(path, f"{address} is taken: {spell_path(seen[address])} has it")
        elif isinstance(address, str):
            seen[address] = path


def _dangling(item: Raw, path: Path, key: str, known: Raw) -> Iterator[Finding]:
    name = item.get(key)
    if isinstance(name, str) and name not in known:
        yield Finding((*path, key), f"there is no {key} {name!r}", nearest(name, known))


def _unknown_names(names: Any, known: Raw, path: Path) -> Iterator[Finding]:
    if names == NOBODY:
        return
    written = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    for index, name in enumerate(written):
        where = (*path, "authenticate", index) if isinstance(names, list) else (*path, "authenticate")
        if isinstance(name, str) and name not in known:
            hint = "write it alone, without brackets" if name == NOBODY else nearest(name, known)
            yield Finding(where, f"there is no authentication {name!r}", hint)
        elif name in written[:index]:
            yield Finding(where, f"{name!r} is written twice", "two credentials in one request are refused")


def _routes(raw: Raw) -> Iterator[tuple[int, Raw]]:
    return _items(raw, "routes")
