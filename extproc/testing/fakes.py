"""Ports with real behaviour and no I/O: time that tests move, records that tests read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from extproc.config.expressions import compile_expression
from extproc.core.api_key import digest as digest_of
from extproc.core.errors import ProviderUnavailable
from extproc.core.limits import NANOSECONDS
from extproc.core.message import Consumer
from extproc.core.ports import TYPES, Answer, Call, Clock, CounterStore, Fetch, KeySet, KeySource, Ports
from extproc.core.record import DecisionRecord
from extproc.stores.jwks import parse_jwks
from extproc.stores.jws import Keyring
from extproc.stores.key_sets import FixedKeySet, StoredKeySets
from extproc.stores.memory import MemoryCounters


@dataclass(slots=True)
class FakeClock:
    """Starts at a round moment of 2026 and moves only when told to."""

    seconds: float = 1_790_000_000.0
    ticks: int = 1_000 * NANOSECONDS

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> int:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.ticks += round(seconds * NANOSECONDS)


@dataclass(slots=True)
class FakeRecorder:
    """Keeps every record in order."""

    records: list[DecisionRecord] = field(default_factory=list)

    def record(self, record: DecisionRecord) -> None:
        self.records.append(record)


@dataclass(frozen=True, slots=True)
class FakeKeys:
    """API keys by their text, as a test writes them."""

    consumers: Mapping[str, Consumer] = field(default_factory=dict)

    async def consumer_of(self, digest: str) -> Consumer | None:
        return {digest_of(key): consumer for key, consumer in self.consumers.items()}.get(digest)


@dataclass(slots=True)
class FakeKeySets:
    """The same JWKS wherever it is looked for, until `replace` puts another there; without one, nobody answers."""

    jwks: Mapping[str, object] | None = None
    generation: int = 0

    def at(self, source: KeySource) -> KeySet:
        return StoredKeySets(FakeClock(), FakeFetch()).at(source) if source.secret else FakeKeySet(self, source)

    def replace(self, jwks: Mapping[str, object] | None) -> None:
        self.jwks = jwks
        self.generation += 1


@dataclass(slots=True)
class FakeKeySet:
    """Verifies as the real ones do."""

    sets: FakeKeySets
    source: KeySource
    prepared: dict[int, FixedKeySet] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        return self.sets.generation

    async def payload_of(self, token: str, types: Collection[str] = TYPES) -> bytes:
        if self.sets.jwks is None:
            raise ProviderUnavailable("nobody is there")
        if self.generation not in self.prepared:
            secrets = self.source.algorithms[0].startswith("HS")
            keys = Keyring(parse_jwks(self.sets.jwks, secrets=secrets), self.source.algorithms)
            self.prepared = {self.generation: FixedKeySet(keys)}
        return await self.prepared[self.generation].payload_of(token, types)


@dataclass(slots=True)
class FakeFetch:
    """Answers each URL with what the test put there, and keeps every call in order. An exception there is raised."""

    answers: dict[str, Answer | Exception] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    async def send(self, call: Call) -> Answer:
        self.calls.append(call)
        answer = self.answers.get(call.url, ProviderUnavailable("nobody is there"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def fake_ports(
    *,
    clock: Clock | None = None,
    counters: CounterStore | None = None,
    api_keys: Mapping[str, Consumer] | None = None,
    jwks: Mapping[str, object] | None = None,
    fetch: Fetch | None = None,
) -> Ports:
    """What a policy is built with, in memory: the real counter store and the real expressions, on a fake clock."""
    clock = clock or FakeClock()
    return Ports(
        clock=clock,
        counters=MemoryCounters(clock) if counters is None else counters,
        keys=FakeKeys(dict(api_keys or {})),
        key_sets=FakeKeySets(jwks),
        expression=compile_expression,
        fetch=FakeFetch() if fetch is None else fetch,
    )
