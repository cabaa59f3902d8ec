"""What models must agree on with the rest of a file: names, tiers, and what may be sent to more than one upstream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from extproc.config.expressions import asks_who, compile_condition
from extproc.config.raw import Raw, anonymous, inherited, items, mapping
from extproc.config.sentences import nearest
from extproc.core.models import BLANK
from extproc.core.names import is_removed_at_edge
from extproc.core.problems import Finding, Path

NOBODY: Final = "nobody is asked who they are, and so nobody has a tier"
OTHER_KEY: Final = "{} and {} are not shown the same credential, and this would show one of them the other's"
SIGNED: Final = "a token is signed for the version that was chosen, and another one would get it"


def check_models(raw: Raw) -> list[Finding]:
    return [*_names(raw), *_models(raw), *_routes(raw)]


def models_of(raw: Raw, route: Raw) -> list[str]:
    """The names of the models that a route may lead to, as far as they are there."""
    used = route.get("model")
    if isinstance(used, str):
        named = [used]
    else:
        written = mapping(used)
        listed = written.get("of")
        whole = list(mapping(raw.get("models"))) if "from" in written and listed is None else []
        named = [*whole, *_texts(listed), *_texts([written.get("is")]), *_texts([written.get("default")])]
    known = _known(raw)
    return list(dict.fromkeys(known[name] for name in named if name in known))


def _known(raw: Raw) -> dict[str, str]:
    """Each name of a model, and its own."""
    models = mapping(raw.get("models"))
    aliases = {alias: name for name, model in models.items() for alias in _texts(mapping(model).get("aliases"))}
    return {**aliases, **{name: name for name in models}}


def _names(raw: Raw) -> Iterator[Finding]:
    taken: dict[str, str] = {name: name for name in mapping(raw.get("models"))}
    for name, model in mapping(raw.get("models")).items():
        for index, alias in enumerate(_texts(mapping(model).get("aliases"))):
            if alias in taken:
                said = f"{alias!r} is a name of the model {taken[alias]!r} already"
                yield Finding(("models", name, "aliases", index), said, "names are unique")
            taken.setdefault(alias, name)


def _models(raw: Raw) -> Iterator[Finding]:
    for name, written in mapping(raw.get("models")).items():
        model, path = mapping(written), ("models", name)
        yield from _tiers(raw, model, path)
        yield from _versions(model, path)
        yield from _one_credential(raw, model, path)
        yield from _plain(raw, model, path)


def _tiers(raw: Raw, model: Raw, path: Path) -> Iterator[Finding]:
    tiers = mapping(raw.get("tiers"))
    for place, listed in _tier_lists(model):
        for index, tier in enumerate(_texts(listed)):
            if tier not in tiers:
                yield Finding((*path, *place, index), f"there is no tier {tier!r}", nearest(tier, tiers))


def _tier_lists(model: Raw) -> Iterator[tuple[Path, Any]]:
    yield ("allow",), model.get("allow")
    yield ("pin", "tiers"), mapping(model.get("pin")).get("tiers")
    for version, written in mapping(model.get("versions")).items():
        yield ("versions", version, "allow"), mapping(written).get("allow")


def _versions(model: Raw, path: Path) -> Iterator[Finding]:
    versions = mapping(model.get("versions"))
    for place, name in _version_names(model):
        if name not in versions:
            yield Finding((*path, *place), f"there is no version {name!r}", nearest(name, versions))
        elif place[0] == "fallback" and mapping(versions[name]).get("allow") is not None:
            said = f"{name} is not for everybody, and would answer whoever the others fail"
            yield Finding((*path, *place), said, "leave out allow of that version, or let another one stand in")


def _version_names(model: Raw) -> Iterator[tuple[Path, str]]:
    named: list[tuple[Path, Any]] = [
        (("rules", index, "version"), rule.get("version")) for index, rule in items(model, "rules")
    ]
    named.append((("shadow", "version"), mapping(model.get("shadow")).get("version")))
    to = mapping(model.get("fallback")).get("to")
    named += [(("fallback", "to", index), name) for index, name in enumerate(to)] if isinstance(to, list) else []
    named += [(("fallback", "to"), to)] if isinstance(to, str) else []
    yield from ((place, name) for place, name in named if isinstance(name, str))


def _one_credential(raw: Raw, model: Raw, path: Path) -> Iterator[Finding]:
    """A request that is sent again, or copied, takes along what was set for the first version."""
    upstreams = mapping(raw.get("upstreams"))
    served = [str(mapping(version).get("upstream")) for version in mapping(model.get("versions")).values()]
    shown = {name: mapping(mapping(upstreams.get(name)).get("credential")) for name in served}
    other = next((name for name in served if shown[name] != shown[served[0]]), None)
    for key in ("fallback", "shadow"):
        if model.get(key) is not None and other is not None:
            said = OTHER_KEY.format(served[0], other)
            yield Finding((*path, key), said, "give their upstreams one credential, or none")


def _plain(raw: Raw, model: Raw, path: Path) -> Iterator[Finding]:
    """What is compared we ask for ourselves, and only Envoy knows how an upstream proves who it is."""
    if mapping(model.get("shadow")).get("compare") is None:
        return
    upstreams = mapping(raw.get("upstreams"))
    for version in mapping(model.get("versions")).values():
        name = str(mapping(version).get("upstream"))
        if mapping(upstreams.get(name)).get("tls") is not None:
            said = f"the upstream {name} is asked by TLS, which only Envoy does"
            yield Finding((*path, "shadow", "compare"), said, "leave out compare")


def _routes(raw: Raw) -> Iterator[Finding]:
    for index, route in items(raw, "routes"):
        path: Path = ("routes", index, "model")
        written = route.get("model")
        yield from _dangling(raw, written, path)
        yield from _template(route, written, path)
        yield from _unsendable(written, path)
        for name in models_of(raw, route):
            model = mapping(mapping(raw.get("models")).get(name))
            yield from _strangers(raw, route, name, model, path)
            if inherited(raw, route, "forward") == "signed":
                doubled = [key for key in ("fallback", "shadow") if model.get(key) is not None]
                yield from (Finding(path, f"{name} has a {key}: {SIGNED}", "forward: headers") for key in doubled)


def _dangling(raw: Raw, written: Any, path: Path) -> Iterator[Finding]:
    known = _known(raw)
    used: Mapping[str, Any] = {"": written} if isinstance(written, str) else mapping(written)
    named: list[tuple[Path, Any]] = [((key,) if key else (), used.get(key)) for key in ("", "is", "default")]
    named += [(("of", index), name) for index, name in enumerate(_texts(used.get("of")))]
    for place, name in named:
        if isinstance(name, str) and name not in known:
            yield Finding((*path, *place), f"there is no model {name!r}", nearest(name, known))
    if "from" in used and used.get("of") is None and not known:
        yield Finding((*path, "from"), "there are no models", "write models: {NAME: {versions: ...}}")


def _template(route: Raw, written: Any, path: Path) -> Iterator[Finding]:
    """A template that no path of the route fits would name no model, ever."""
    source = mapping(written).get("from")
    if not isinstance(source, str) or not source.startswith("path:"):
        return
    before = source.removeprefix("path:").partition(BLANK)[0]
    match = mapping(route.get("match"))
    prefix = match.get("path_prefix")
    if match.get("path") is not None:
        yield Finding((*path, "from"), "this route has one path, and no model's name in it", "write match: path_prefix")
    elif isinstance(prefix, str) and not _meet(before, prefix):
        said = f"no path below {prefix} has a model's name there"
        yield Finding((*path, "from"), said, f"write path:{prefix.rstrip('/')}/{BLANK}")


def _unsendable(written: Any, path: Path) -> Iterator[Finding]:
    """A header that is removed at the edge would name no model, ever."""
    source = mapping(written).get("from")
    name = str(source).removeprefix("header:")
    if isinstance(source, str) and name != source and is_removed_at_edge(name):
        yield Finding((*path, "from"), f"no client can send {name}: it is removed at the edge", "write another header")


def _meet(before: str, prefix: str) -> bool:
    """Whether a template's part before the name and a prefix of paths lead the same way."""
    below = prefix.rstrip("/") + "/"
    return before.startswith(below) or below.startswith(before)


def _strangers(raw: Raw, route: Raw, name: str, model: Raw, path: Path) -> Iterator[Finding]:
    """Of a route that anybody may call: what only a known caller has would be nobody's."""
    if not anonymous(raw, route):
        return
    if model.get("sticky", "consumer") == "consumer":
        yield Finding(path, "sticky: consumer needs a consumer", "authenticate, or make the model sticky: none")
    if model.get("allow") is not None or model.get("pin") is not None:
        key = "allow" if model.get("allow") is not None else "pin"
        yield Finding(path, f"{name} has {key}: {NOBODY}", "authenticate")
    for index, rule in items(model, "rules"):
        if _asks_who(rule.get("when")):
            said = f"rules[{index}] of {name} is about the consumer, and nobody is asked who they are"
            yield Finding(path, said, "authenticate")


def _asks_who(condition: Any) -> bool:
    """What does not compile is told where it stands."""
    if not isinstance(condition, str):
        return False
    try:
        compile_condition(condition)
    except ValueError:
        return False
    return asks_who(condition)


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
