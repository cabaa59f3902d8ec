"""What `versions` and the routes' `version` must agree on: successors, adaptations, and changes that can be undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from extproc.config.raw import Raw, items, mapping
from extproc.config.sentences import nearest
from extproc.config.versions import PARTS, Part, VersionUse, followed
from extproc.core.lens_building import Change, NotInvertible, build
from extproc.core.problems import Finding, Path

NO_BODY_OF_OURS: Final = "a redirect has no body to adapt"
Uses = Mapping[str, tuple[Path, VersionUse]]  # by the route's name


def check_versions(data: Any) -> list[Finding]:
    raw = mapping(data)
    uses = _uses(raw)
    found = [*_successors(mapping(raw.get("versions")))]
    for index, route in items(raw, "routes"):
        found += _route(raw, route, ("routes", index, "version"))
    for name, (place, use) in uses.items():
        found += [*_continued(name, place, use, uses), *_undone(place, use, uses)]
    return found


def _uses(raw: Raw) -> Uses:
    """Those that can be read; the model says what is wrong with the others."""
    read: dict[str, tuple[Path, VersionUse]] = {}
    for index, route in items(raw, "routes"):
        written = route.get("version")
        if not isinstance(written, Mapping):
            continue
        try:
            use = VersionUse.model_validate(written)
        except ValidationError:
            continue
        read.setdefault(str(route.get("name")), (("routes", index, "version"), use))
    return read


def _successors(versions: Raw) -> Iterator[Finding]:
    for name, version in versions.items():
        successor = mapping(version).get("successor")
        place: Path = ("versions", name, "successor")
        if isinstance(successor, str) and successor not in versions:
            yield Finding(place, f"there is no version {successor!r}", nearest(successor, versions))
        elif isinstance(successor, str) and _leads_back(versions, name):
            yield Finding(place, f"{name} would be its own successor", "successors end at a current version")
        elif isinstance(successor, str) and mapping(versions[successor]).get("status") == "sunset":
            yield Finding(place, f"the successor {successor} is gone itself", "name the version to go to now")


def _leads_back(versions: Raw, name: str) -> bool:
    after, seen = mapping(versions[name]).get("successor"), set[str]()
    while isinstance(after, str) and after in versions and after not in seen:
        if after == name:
            return True
        seen.add(after)
        after = mapping(versions[after]).get("successor")
    return False


def _route(raw: Raw, route: Raw, place: Path) -> Iterator[Finding]:
    use, versions = mapping(route.get("version")), mapping(raw.get("versions"))
    for key in ("is", "adapt_to"):
        name = use.get(key)
        if isinstance(name, str) and name not in versions:
            hint = nearest(name, versions) or f"write versions: {{{name}: {{status: current}}}}"
            yield Finding((*place, key), f"there is no version {name!r}", hint)
    if use.get("adapt_to") is None:
        return
    if use.get("adapt_to") == use.get("is"):
        yield Finding((*place, "adapt_to"), "a version is not adapted to itself", "leave it out")
    if route.get("redirect") is not None:
        yield Finding((*place, "adapt_to"), NO_BODY_OF_OURS, "leave it out")


def _continued(name: str, place: Path, use: VersionUse, uses: Uses) -> Iterator[Finding]:
    if use.then is None:
        return
    where = (*place, "then")
    if use.then not in uses:
        yield Finding(where, f"there is no route {use.then!r} with a version", nearest(use.then, uses))
        return
    _, after = uses[use.then]
    if after.is_ != use.adapt_to or after.adapt_to is None:
        said = f"route {use.then} does not take {use.adapt_to} any further"
        yield Finding(where, said, f"name one with version: {{is: {use.adapt_to}, adapt_to: ...}}")
    elif name in _behind(name, uses):
        yield Finding(where, f"{name} would go on with itself")


def _behind(name: str, uses: Uses) -> list[str]:
    reached: list[str] = []
    after = uses[name][1].then
    while after is not None and after in uses and after not in reached:
        reached.append(after)
        after = uses[after][1].then
    return reached


def _undone(place: Path, use: VersionUse, uses: Uses) -> Iterator[Finding]:
    """What the way back could not undo; once, where it is the same for both ways."""
    by_name = {name: one for name, (_, one) in uses.items()}
    told: set[Path] = set()
    for part in PARTS:
        changes = _changes(place, followed(use, by_name), part)
        try:
            build([change for change, _ in changes])
        except NotInvertible as refused:
            where = changes[min(refused.index, len(changes) - 1)][1]
            if where not in told:
                told.add(where)
                yield Finding(where, str(refused))


def _changes(place: Path, uses: list[VersionUse], part: Part) -> list[tuple[Change, Path]]:
    """All of them in their order. Those of another route are told there, unless it is ours that they do not go with."""
    own, *others = uses
    changes = [(change, (*place, *below)) for change, below in own.changes(part)]
    return [*changes, *((change, (*place, "then")) for other in others for change, _ in other.changes(part))]
