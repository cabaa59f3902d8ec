"""A gateway file with all that belongs to it: what it says, what it means, and the policy kinds that it may use."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from extproc.app.assemble import assemble
from extproc.app.clock import SystemClock
from extproc.app.egress import egress_of
from extproc.app.key_store import open_key_store
from extproc.app.observing import Unheard
from extproc.config.changes import Change
from extproc.config.expressions import compile_expression
from extproc.config.load import Loaded, load
from extproc.core.gateway import Gateway
from extproc.core.ports import Clock, CounterStore, Events, KeyStore, Ports, ShareTable, TokenTally, untold
from extproc.core.problems import InvalidConfig, Problem
from extproc.core.shares import AS_WRITTEN
from extproc.fetch import HttpFetch, SocketFetch
from extproc.plan.compile import compile_plan
from extproc.plan.model import Plan
from extproc.plugins.registry import Registry, discover
from extproc.stores.file_keys import FileKeys
from extproc.stores.key_changes import KeyLedger
from extproc.stores.key_sets import StoredKeySets
from extproc.stores.keys import NoKeys
from extproc.stores.memory import MemoryCounters
from extproc.stores.redis_keys import RedisKeys
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
    """A gateway that can answer, what its policies use, and what must be tended meanwhile. `ledger` is where its API
    keys are changed; `signer` vouches for consumers, where the file says so. Whoever asks the gateway does it within
    `in_use`."""

    gateway: Gateway
    ports: Ports
    fetch: HttpFetch
    back: SocketFetch
    tended: tuple[Tended, ...] = ()
    ledger: KeyLedger | None = None
    signer: Signer | None = None

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """What is opened meanwhile is closed at the end."""
        async with self.fetch:
            try:
                yield
            finally:
                await self.back.close()
                if self.ledger is not None:
                    await self.ledger.close()

    def ready(self) -> bool:
        return all(one.ready() for one in self.tended)


def read_project(
    file: Path, environment: Mapping[str, str], text: str | None = None, changes: Sequence[Change] = ()
) -> Project:
    """Load and compile a file, or `text` as if it stood there, with `changes` as if they were written in it. Raises
    InvalidConfig with every problem."""
    registry = discover(file.absolute().parent)
    try:
        loaded = load(file, environment, registry.settings, text, changes)
    except InvalidConfig as invalid:
        raise InvalidConfig([*registry.problems, *invalid.problems]) from None
    if registry.problems:
        raise InvalidConfig(registry.problems)
    plan = compile_plan(loaded, registry.kinds)
    folder = environment.get(SOCKETS) or plan.sidecar.folder
    return Project(loaded, replace(plan, sidecar=replace(plan.sidecar, folder=folder)), registry)


def build_gateway(
    project: Project,
    counters: CounterStore | None = None,
    events: Events | None = None,
    tokens: TokenTally = untold,
    shares: ShareTable = AS_WRITTEN,
) -> Built:
    """Everything but sockets; nothing is asked or opened yet. `events` hears what becomes of what is tended, `tokens`
    what metered answers came to; `shares` are those of models' versions.

    Raises:
        InvalidConfig: with every problem found.
    """
    events = events or Unheard()
    clock, plan, fetch = SystemClock(), project.plan, HttpFetch()
    problems: list[Problem] = []
    store: FileKeys | RedisKeys | None = None
    try:
        store = open_key_store(plan.sidecar.keys, clock, events) if plan.sidecar.keys else None
    except ValueError as error:
        problems.append(project.loaded.problem(("sidecar", "stores", "keys"), str(error)))
    keys: KeyStore = store or NoKeys()
    key_sets = StoredKeySets(clock, fetch, events.event)
    signer = _signer(project, clock, problems)
    egress, back = egress_of(plan, signer)
    counters = counters or MemoryCounters(clock)
    ports = Ports(clock, counters, keys, key_sets, compile_expression, fetch, random.random, shares, egress, tokens)
    gateway = assemble(plan, ports, project.registry, project.loaded, problems, signer)
    tended = (key_sets, store) if store else (key_sets,)
    return Built(gateway, ports, fetch, back, tended, ledger=store, signer=signer)


def _signer(project: Project, clock: Clock, problems: list[Problem]) -> Signer | None:
    signing = project.plan.sidecar.signing
    if signing is None:
        return None
    try:
        return Signer(read_keys([Path(key) for key in signing.keys]), signing.issuer, signing.lifetime, clock)
    except ValueError as error:
        problems.append(project.loaded.problem(("sidecar", "signing", "keys"), str(error)))
        return None
