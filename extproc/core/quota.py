"""One limit that several Envoys judge, each on its own: who may spend how much of it.

The rate is cut into `Quota.parts`, which are tokens that an Envoy's bucket gains in `interval` seconds, and is given
out by demand. The burst is not: every Envoy has an equal share of it for ever, because Envoy keeps how full a bucket is
when its rate changes, so that nothing that is given and taken back adds a token.

What is promised: as many Envoys as `envoys` admit at most rate x t + burst together in any time t, and `capacity` more
for each of them that was started anew within it. It holds because an Envoy that hears nothing goes on with what it was
told until that ends, and then with the `floor`: until then nobody else gets what it had, and nobody its floor ever.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from extproc.core.limits import NANOSECONDS, Limit

FLOORS: Final = 8  # the floors of all Envoys are one of so many parts of the rate; a single Envoy gets all the others
FINENESS: Final = 64  # parts for each Envoy at least, so that a floor has eight
GRACE: Final = NANOSECONDS  # what Envoy was told to do for some time it begins when it hears of it
# Envoy counts whole tokens when a bucket's rate changes, and loses what there was of another.
WORTH: Final = 16  # tokens at least between two changes
MARKED: Final = 16  # less than one of so many parts more or less is no reason to change
SHORTEST_IDLE: Final = 60 * NANOSECONDS


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit as it is shared. `capacity` is what one Envoy may admit at once."""

    limit: Limit
    envoys: int
    parts: int = field(init=False)
    interval: int = field(init=False)
    capacity: int = field(init=False)
    floor: int = field(init=False)
    idle: int = field(init=False)  # nanoseconds after which a bucket is as full as a new one, whatever its share

    def __post_init__(self) -> None:
        if self.limit.burst < self.envoys:
            raise ValueError(f"a burst of {self.limit.burst} cannot be shared by {self.envoys} Envoys")
        times = -(-FINENESS * self.envoys // self.limit.count)
        parts, interval = self.limit.count * times, self.limit.period * times
        floor = parts // (FLOORS * self.envoys)
        capacity = self.limit.burst // self.envoys
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "capacity", capacity)
        object.__setattr__(self, "floor", floor)
        refilled = -(-capacity * interval * NANOSECONDS // floor)
        object.__setattr__(self, "idle", max(SHORTEST_IDLE, refilled))

    @property
    def bound(self) -> str:
        """What is promised, for whoever reads a plan."""
        limit = self.limit
        return f"at most {limit.count} x t / {limit.period} s + {limit.burst} in any time t by {self.envoys} Envoys"


@dataclass(slots=True)
class Lease:
    """What one Envoy may spend: `share` until `until`, then the floor. `held` are larger shares of before, of which it
    may not have heard that they are over."""

    share: int
    until: int
    demand: int | None = None  # parts, as it was asked for lately; None while nobody knows
    changed: int = 0
    busy: int = 0  # when it was last asked for anything
    gone: bool = False
    held: list[tuple[int, int]] = field(default_factory=list)

    def in_force(self, now: int, floor: int) -> int:
        """The most that the Envoy may be spending."""
        shares = [share for share, until in ((self.share, self.until), *self.held) if until > now]
        return max(floor, *shares) if shares else floor

    def is_told(self, now: int) -> bool:
        return not self.gone and self.until > now

    def asked(self, quota: Quota) -> int:
        return quota.parts if self.demand is None else max(quota.floor, self.demand)

    def grant(self, share: int, now: int, until: int) -> None:
        self.held = [(old, end) for old, end in self.held if end > now and old > share]
        if self.share > share and self.until > now:
            self.held.append((self.share, self.until))
        if share != self.share or self.until <= now:
            self.changed = now
        self.share, self.until = share, until


@dataclass(frozen=True, slots=True)
class Usage:
    """What an Envoy reports of a bucket: requests since `elapsed` nanoseconds, 0 where the bucket is new to it."""

    requests: int
    elapsed: int


class SharedBucket:
    """One counter of a quota: a limit with whom it counts. `since` is when the sidecar began, which does not know what
    the one before it gave out: until that has ended, nobody gets more than the floor."""

    def __init__(self, quota: Quota, lifetime: int, since: int) -> None:
        self._quota = quota
        self._lasts = lifetime + GRACE
        self._known = since + self._lasts
        self._leases: dict[Hashable, Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def report(self, envoy: Hashable, usage: Usage, now: int) -> int | None:
        """The Envoy's share from now on, in parts; None where it gets none, and goes on as it is.

        Whoever is not known here but to whom the bucket is not new has a share of the sidecar before: it keeps that.
        """
        self._forget(now)
        lease = self._leases.get(envoy)
        if lease is None and (len(self._leases) >= self._quota.envoys or (usage.elapsed and now < self._known)):
            return None
        if lease is None:
            lease = self._leases[envoy] = Lease(0, now, busy=now)
        self._heard(lease, usage, now)
        share = self._share(envoy, lease, now)
        lease.grant(share, now, now + self._lasts)
        return share

    def is_idle(self, envoy: Hashable, now: int) -> bool:
        """Whether its bucket may be forgotten: it is full, so a new one would be no fuller."""
        lease = self._leases.get(envoy)
        return lease is not None and now - lease.busy >= self._quota.idle

    def leave(self, envoy: Hashable) -> None:
        """It will not report again, but may spend what it has until that ends."""
        if envoy in self._leases:
            self._leases[envoy].gone = True

    def is_over(self, now: int) -> bool:
        """Whether nobody has anything of it."""
        self._forget(now)
        return not self._leases

    def shares(self, now: int) -> dict[Hashable, int]:
        """What each Envoy may be spending."""
        return {envoy: lease.in_force(now, self._quota.floor) for envoy, lease in self._leases.items()}

    def _forget(self, now: int) -> None:
        over = [
            envoy
            for envoy, lease in self._leases.items()
            if lease.gone and max([lease.until, *(end for _, end in lease.held)]) <= now
        ]
        for envoy in over:
            del self._leases[envoy]

    def _heard(self, lease: Lease, usage: Usage, now: int) -> None:
        lease.gone = False
        if usage.requests:
            lease.busy = now
        if usage.elapsed:
            asked = usage.requests * self._quota.interval * NANOSECONDS // usage.elapsed
            # A quarter more than was asked for, so that growing demand is met; half of it is what was before.
            lease.demand = min(
                self._quota.parts, asked * 5 // 4 if lease.demand is None else (asked + lease.demand) // 2
            )

    def _share(self, envoy: Hashable, lease: Lease, now: int) -> int:
        floor = self._quota.floor
        others = sum(other.in_force(now, floor) for key, other in self._leases.items() if key != envoy)
        absent = floor * (self._quota.envoys - len(self._leases))
        free = floor if now < self._known else self._quota.parts - others - absent
        wanted = min(self._targets(envoy, now)[envoy], free)
        current = lease.share if lease.until > now else 0
        return wanted if self._is_worth(lease, current, wanted, now) else current

    def _is_worth(self, lease: Lease, current: int, wanted: int, now: int) -> bool:
        if current == 0:
            return True
        pause = WORTH * self._quota.interval * NANOSECONDS // current
        return abs(wanted - current) * MARKED >= current and now - lease.changed >= pause

    def _targets(self, asking: Hashable, now: int) -> dict[Hashable, int]:
        """What each Envoy would have if nobody had anything yet: what it asks for, the least demanding first, and of
        what is left an equal part. Whoever went silent asks for nothing."""
        quota = self._quota
        left = quota.parts - quota.floor * (quota.envoys - len(self._leases))
        demands = {
            envoy: lease.asked(quota) if envoy == asking or lease.is_told(now) else quota.floor
            for envoy, lease in self._leases.items()
        }
        targets: dict[Hashable, int] = {}
        order: Sequence[Hashable] = sorted(demands, key=demands.__getitem__)
        for place, envoy in enumerate(order):
            targets[envoy] = min(demands[envoy], left // (len(order) - place))
            left -= targets[envoy]
        return {envoy: target + left // len(order) for envoy, target in targets.items()}
