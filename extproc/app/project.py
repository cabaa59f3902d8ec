"""A gateway file with all that belongs to it: what it says, what it means, and the policy kinds that it may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from extproc.app.assemble import assemble
from extproc.app.clock import SystemClock
from extproc.config.expressions import compile_expression
from extproc.config.load import Loaded, load
from extproc.core.gateway import Gateway
from extproc.core.ports import Clock, CounterStore, KeyStore, Ports
from extproc.core.problems import InvalidConfig, Problem
from extproc.fetch import HttpFetch
from extproc.plan.compile import compile_plan
from extproc.plan.model import Plan
from extproc.plugins.registry import Registry, discover
from extproc.stores.jwks import FileKeySets
from extproc.stores.keys import FileKeys, NoKeys
from extproc.stores.memory import MemoryCounters
from extproc.stores.signing import Signer, read_keys

SOCKETS: Final = "EXTPROC_SOCKETS"  # `extproc up` gives sidecar and Envoy a folder of its own, whatever the file says


@dataclass(frozen=True, slots=True)
class Project:
    loaded: Loaded
    plan: Plan
    registry: Registry


class Tended(Protocol):
    """What must be looked after while a gateway serves: keys that are fetched again, files that are watched."""

    async def tend(self) -> None:
        """Runs until it is cancelled."""

    def ready(self) -> bool:
        """Whether it has what decisions need."""


@dataclass(frozen=True, slots=True)
class Built:
    """A gateway that can answer, what its policies use, and what must be tended meanwhile. `fetch` is closed at the
    end; `signer` vouches for consumers, where the file says so."""

    gateway: Gateway
    ports: Ports
    fetch: HttpFetch
    tended: tuple[Tended, ...] = ()
    signer: Signer | None = None

    def ready(self) -> bool:
        return all(one.ready() for one in self.tended)


def read_project(file: Path, environment: Mapping[str, str], text: str | None = None) -> Project:
    """Load and compile a file, or `text` as if it stood there. Raises InvalidConfig with every problem."""
    registry = discover(file.absolute().parent)
    try:
        loaded = load(file, environment, registry.settings, text)
    except InvalidConfig as invalid:
        raise InvalidConfig([*registry.problems, *invalid.problems]) from None
    if registry.problems:
        raise InvalidConfig(registry.problems)
    plan = compile_plan(loaded, registry.policies)
    folder = environment.get(SOCKETS) or plan.sidecar.folder
    return Project(loaded, replace(plan, sidecar=replace(plan.sidecar, folder=folder)), registry)


def build_gateway(project: Project, counters: CounterStore | None = None) -> Built:
    """Everything but sockets; nothing is asked or opened yet. Raises InvalidConfig."""
    clock, plan, fetch = SystemClock(), project.plan, HttpFetch()
    problems: list[Problem] = []
    keys: KeyStore = NoKeys()
    try:
        keys = FileKeys.read(Path(plan.sidecar.keys)) if plan.sidecar.keys else keys
    except ValueError as error:
        problems.append(project.loaded.problem(("sidecar", "stores", "keys"), str(error)))
    ports = Ports(clock, counters or MemoryCounters(clock), keys, FileKeySets(), compile_expression, fetch)
    signer = _signer(project, clock, problems)
    gateway = assemble(plan, ports, project.registry, project.loaded, problems, signer)
    return Built(gateway, ports, fetch, signer=signer)


def _signer(project: Project, clock: Clock, problems: list[Problem]) -> Signer | None:
    signing = project.plan.sidecar.signing
    if signing is None:
        return None
    try:
        return Signer(read_keys([Path(key) for key in signing.keys]), signing.issuer, signing.lifetime, clock)
    except ValueError as error:
        problems.append(project.loaded.problem(("sidecar", "signing", "keys"), str(error)))
        return None
