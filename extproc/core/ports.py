"""Capabilities that a policy or a service may use. The inside owns these shapes; `stores` and `app` fill them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from extproc.core.errors import ProviderUnavailable
from extproc.core.evidence import Evidence, Series, Sums
from extproc.core.feedback import Answered
from extproc.core.headers import Headers
from extproc.core.limits import Charge, CounterState, Settlement
from extproc.core.message import Chosen, Consumer
from extproc.core.record import DecisionRecord
from extproc.core.shares import AS_WRITTEN, Shares
from extproc.core.specs import PartSpec
from extproc.core.tally import Tally
from extproc.core.windows import Addition, Counted

ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
TYPES: Final = ("jwt", "at+jwt")  # RFC 7519 §5.1, RFC 9068 §2.1


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
            StoreUnavailable: no judgement could be made. What was asked counts at most once, and is never given twice.
        """

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Give back what a charge holds, or say what it came to. Done twice it is done once; what is never settled ends
        by itself: a slot when its lease is over, a reservation by staying charged.

        Raises:
            StoreUnavailable: it may be done or not; it may be asked for again.
        """


class WindowCounters(Protocol):
    async def add(self, additions: tuple[Addition, ...]) -> Counted:
        """Add to all counters, in their order and whatever they hold. Each is exact; together they are no transaction.

        Raises:
            StoreUnavailable: nobody knows what was counted.
        """


class EvidenceStore(Protocol):
    """What versions of models did, summed over all sidecars that share the store. A slot of time counts where it begins
    within [since, until); it is of the requests that began in it, and is told some seconds after they end."""

    async def add(self, sums: Sums, batch: str) -> None:
        """The same batch with the same sums, told again, is added once.

        Raises:
            StoreUnavailable: it is added or not, or a part of it is; it may be asked for again.
        """

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        """By version; one of which nothing is known is not there. Raises StoreUnavailable."""

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        """The same for each step of that stretch, in order, for plots. Raises StoreUnavailable, and ValueError where
        that would be too many."""


class AnswerStore(Protocol):
    """Which requests were answered lately, and by whom: what feedback is matched with."""

    async def remember(self, answers: Mapping[str, Answered]) -> None:
        """By the requests' ids. Done twice it is done once. Raises StoreUnavailable."""

    async def claim(self, wanted: Sequence[tuple[str, str | None]]) -> Sequence[Answered | None]:
        """For each id and consumer, None standing for anybody: who answered, for the first that asks, and None for all
        others, for another consumer's request and for what is not known.

        Raises:
            StoreUnavailable: some may be claimed, and are lost.
        """


class LimitMeter(Protocol):
    """Hears what becomes of hits on the limits of envoyproxy/ratelimit's files. Must return at once."""

    def hits(self, domain: str, descriptor: str, tally: Tally) -> None: ...

    def domain_not_found(self, domain: str) -> None: ...

    def shadowed(self) -> None:
        """A call was over, and let through because everything is."""


class KeyStore(Protocol):
    async def consumer_of(self, digest: str) -> Consumer | None:
        """The consumer whose API key has this SHA-256 hex digest, or None. `method` is left empty.

        Raises:
            StoreUnavailable: nobody could say whose key it is.
        """


@dataclass(frozen=True, slots=True)
class KeySource:
    """Whose keys, and where they are: a file or a URL (`location`), a `secret` that both sides hold, or, with neither,
    wherever the issuer's own discovery document says.

    A key that names no algorithm of its own gets the first of `algorithms` that fits its type. `outlast` is for how
    many seconds keys from a URL are believed while nobody there answers.
    """

    issuer: str = ""
    location: str = ""
    secret: str = field(default="", repr=False)
    algorithms: tuple[str, ...] = ASYMMETRIC
    outlast: float = 86_400.0


class KeySet(Protocol):
    """The verification keys of one issuer."""

    @property
    def generation(self) -> int:
        """Another number whenever the keys are other ones: what an earlier set verified counts no longer."""

    async def payload_of(self, token: str, types: Collection[str] = TYPES) -> bytes:
        """The payload of a compact JWS that one of these keys signed, unread. `types` are the header's `typ` that are
        accepted, in lower case and without `application/`; a token that names none is a `jwt`.

        Raises:
            InvalidToken: it is none, whatever the reason.
            ProviderUnavailable: the keys are not there, so nobody can say.
        """


class KeySets(Protocol):
    def at(self, source: KeySource) -> KeySet:
        """The keys of that source. Whoever names the same one shares them.

        Raises:
            ValueError: it cannot be read, holds a key that must not be used, or can hold none.
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


class Upstreams(Protocol):
    """The way back through Envoy: upstreams of the file, with Envoy's balancing, TLS and retries."""

    def entered(self) -> AbstractContextManager[None]:
        """Around all calls of one request. Raises Overloaded where as many requests as may are making theirs."""

    async def send(self, route: str, part: PartSpec, call: Call, consumer: Consumer | None) -> Answer:
        """Ask a part's upstream; the call's `url` is a path with its query. Who is asking, and what the gateway itself
        shows that upstream, is added on the way, and wins over the call's own headers.

        Raises:
            ProviderUnavailable: there was no whole answer; NoAnswerInTime and AnswerTooLong say why.
        """


class NoUpstreams:
    """Where there is no Envoy to go through."""

    def entered(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def send(self, route: str, part: PartSpec, call: Call, consumer: Consumer | None) -> Answer:
        raise ProviderUnavailable("there is no way to an upstream here")


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


class Events(Protocol):
    """Where it is told what happens to the sidecar itself. Never with a secret, and never on the way of a request."""

    def event(self, name: str, **fields: object) -> None: ...


class ShareTable(Protocol):
    """The shares of models' versions as they are now. At once: it is asked for every request."""

    def of(self, model: str) -> Shares | None:
        """None where they are as the file says."""


class TokenTally(Protocol):
    """Hears what a metered answer came to. Must return at once."""

    def __call__(
        self,
        route: str,
        consumer: Consumer | None,
        status: int,
        tokens: int,
        ended: str,
        chosen: Chosen | None = None,
    ) -> None:
        """`ended`: how it is known, one of `Ended`; `chosen`: which version of a model answered."""


class Ended(StrEnum):
    """How a metered answer ended: with what its upstream said of it, with what its length says, cut by us, or with its
    client or its upstream gone. A text, as a label is."""

    SAID = "said"
    ESTIMATED = "estimated"
    CUT = "cut"
    LEFT = "left"


def untold(
    route: str, consumer: Consumer | None, status: int, tokens: int, ended: str, chosen: Chosen | None = None
) -> None:
    """For whoever keeps no sums."""


def never() -> float:
    """For whoever leaves nothing to chance."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What a policy is built with. A policy keeps the ones it needs and no others. `expression` compiles CEL, `chance`
    is a number from 0 to below 1, another one each time, `shares` what versions of models get now; `upstreams` are
    asked by way of Envoy; `tokens` hears what metered answers came to."""

    clock: Clock
    counters: CounterStore
    keys: KeyStore
    key_sets: KeySets
    expression: Callable[[str], Expression]
    fetch: Fetch
    chance: Callable[[], float] = never
    shares: ShareTable = AS_WRITTEN
    upstreams: Upstreams = field(default_factory=NoUpstreams)
    tokens: TokenTally = untold
