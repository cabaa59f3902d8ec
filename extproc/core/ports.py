"""Capabilities that a policy or a service may use. The inside owns these shapes; `stores` and `app` fill them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from extproc.core.headers import Headers
from extproc.core.limits import Charge, CounterState
from extproc.core.message import Consumer
from extproc.core.record import DecisionRecord


class Clock(Protocol):
    """Time is asked for, never taken: tests move it."""

    def now(self) -> float:
        """Seconds since the epoch: for timestamps that leave the process or come with a token."""

    def monotonic(self) -> int:
        """Nanoseconds that never step back: for everything that is counted or measured."""


class CounterStore(Protocol):
    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        """Judge and charge all counters atomically: the states, in the counters' order.

        Raises:
            StoreUnavailable: no judgement could be made; nothing was charged.
        """


class KeyStore(Protocol):
    async def consumer_of(self, digest: str) -> Consumer | None:
        """The consumer whose API key has this SHA-256 hex digest, or None. `method` is left empty."""


class VerificationKey(Protocol):
    """One public key with the one algorithm that it may verify."""

    @property
    def algorithm(self) -> str: ...

    @property
    def material(self) -> object: ...


class KeySet(Protocol):
    """The verification keys of one issuer."""

    def find(self, kid: str | None) -> Sequence[VerificationKey]:
        """The key of that id, or every key where a token names none."""


class KeySets(Protocol):
    def at(self, location: str) -> KeySet:
        """The key set at the location written in the configuration; the same one for every route that names it.

        Raises:
            ValueError: it cannot be read, or holds a key that must not be used.
        """


class TokenSigner(Protocol):
    """Says who is asking so that an upstream can verify it."""

    def token(self, consumer: Consumer, upstream: str) -> str:
        """A short-lived token for that upstream alone. At once: what it takes is microseconds."""


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request of the gateway's own. `timeout` in seconds, for all of it; a longer answer than `max_bytes` is no
    answer. Neither headers nor body are shown by `repr`: they carry secrets."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 2.0
    max_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """Whatever was answered, a redirect too: none is followed."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)


class Fetch(Protocol):
    """The way out, for those who must ask somebody else."""

    async def send(self, call: Call) -> Answer:
        """Raises ProviderUnavailable where there was no whole answer in time."""


class Expression(Protocol):
    """A compiled expression over the variables of `extproc.core.variables`."""

    def value(self, variables: Mapping[str, object]) -> object:
        """The result as plain Python.

        Raises:
            CouldNotDecide: evaluation ended in an error, a missing key for one.
        """

    def holds(self, variables: Mapping[str, object]) -> bool:
        """Whether the result is exactly true.

        Raises:
            CouldNotDecide: as for `value`.
        """


class Recorder(Protocol):
    """Where decision records go. Must return at once: it is called on the way of every request."""

    def record(self, record: DecisionRecord) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a policy is built with. A policy keeps the ones it needs and no others. `expression` compiles CEL."""

    clock: Clock
    counters: CounterStore
    keys: KeyStore
    key_sets: KeySets
    expression: Callable[[str], Expression]
    fetch: Fetch
