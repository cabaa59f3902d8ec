"""All kinds that one gateway file may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from extproc.config.load import Kinds
from extproc.core.policy import AuthenticatorKind, PolicyKind
from extproc.core.problems import Problem
from extproc.plugins.built_in import AUTHENTICATORS, POLICIES, ROUTE_KEYS
from extproc.plugins.folder import kinds_in
from extproc.plugins.installed import installed_kinds
from extproc.plugins.shape import Found


@dataclass(frozen=True, slots=True)
class Registry:
    """`policies` are those of `use:`, `route_keys` those behind a route's own keys; `problems` tells what could not
    be read, and is never ignored: a policy that is not there must not be a policy that lets everybody pass."""

    policies: Mapping[str, type[PolicyKind]]
    route_keys: Mapping[str, type[PolicyKind]]
    authenticators: Mapping[str, type[AuthenticatorKind]]
    problems: tuple[Problem, ...] = ()

    @property
    def kinds(self) -> Mapping[str, type[PolicyKind]]:
        return {**self.policies, **self.route_keys}

    @property
    def settings(self) -> Kinds:
        """What the loader checks the settings of kinds against."""
        return Kinds(
            policies={name: kind.Settings for name, kind in self.policies.items()},
            authenticators={name: kind.Settings for name, kind in self.authenticators.items()},
            complete=not self.problems,
        )


def built_in() -> Registry:
    return Registry(POLICIES, ROUTE_KEYS, AUTHENTICATORS)


def discover(beside: Path) -> Registry:
    """The built-in kinds, the installed ones, and those of the folder beside a gateway file."""
    problems: list[Problem] = []
    found = [*installed_kinds(problems), *kinds_in(beside, problems)]
    policies = _named(found, problems)
    return Registry(MappingProxyType({**POLICIES, **policies}), ROUTE_KEYS, AUTHENTICATORS, tuple(problems))


def _named(found: Sequence[Found], problems: list[Problem]) -> dict[str, type[PolicyKind]]:
    """By name; a name that is taken is a problem of whoever came second."""
    taken = dict.fromkeys((*POLICIES, *ROUTE_KEYS), "the gateway itself")
    named: dict[str, type[PolicyKind]] = {}
    for one in found:
        name = one.kind.name
        if name in taken:
            problems.append(one.problem(f"the name {name!r} is taken by {taken[name]}"))
            continue
        taken[name] = one.file
        named[name] = one.kind
    return named
