"""Any number of Envoys that come, go, fall silent and hear late, against a model of what Envoy does with a token
bucket: together they never admit more than is promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.limits import NANOSECONDS, Limit, Per
from extproc.core.quota import GRACE, Quota, SharedBucket, Usage

TTL = 10 * NANOSECONDS
REPORTING = 5 * NANOSECONDS
TICKS = 300
EVENTS = ("join", "join", "leave", "silent", "reconnect", "reconnect", "restart", *["demand"] * 6)


@dataclass
class Envoy:
    """Its bucket: full at first; how full it is stays when its rate changes; without an assignment nothing is admitted,
    and when one ends it goes on at the floor."""

    stream: int
    quota: Quota
    filled: Fraction = Fraction(0)
    share: int | None = None
    until: int = 0
    at: int = 0
    coming: list[tuple[int, int]] = field(default_factory=list)
    asked: int = 0
    percent: int = 100
    silent: int = 0
    reported: int | None = None

    def go_on(self, now: int) -> None:
        """All that happens to it until `now`, in order."""
        while True:
            heard = min(self.coming, default=None)
            over = self.until if self.share not in (None, self.quota.floor) else None
            happens = min((time for time in (heard and heard[0], over) if time is not None), default=now + 1)
            if happens > now:
                return self._fill(now)
            self._fill(happens)
            if heard and heard[0] == happens:
                self.coming.remove(heard)
                if self.share is None:
                    self.filled = Fraction(self.quota.capacity)
                self.share, self.until = heard[1], happens + TTL
            else:
                self.share = self.quota.floor

    def _fill(self, now: int) -> None:
        gained = Fraction((self.share or 0) * (now - self.at), self.quota.interval * NANOSECONDS)
        self.filled = min(self.filled + gained, Fraction(self.quota.capacity))
        self.at = now

    def admit(self) -> int:
        admitted = 0 if self.share is None else int(self.filled) * self.percent // 100
        self.filled -= admitted
        self.asked += admitted + 1
        return admitted


class World:
    """Envoys that report every five seconds, and whatever `random` does to them."""

    def __init__(self, quota: Quota, random: Random) -> None:
        self.quota = quota
        self.random = random
        self.eventful = random.choice((0.02, 0.1, 0.3))
        self.now = 0
        self.bucket = SharedBucket(quota, TTL, 0)
        self.living: list[Envoy] = []
        self.started = 0
        self.admitted: list[tuple[int, int, int]] = []  # when, by how many Envoys, how many
        self.begun: list[int] = []  # when an Envoy's bucket was new

    def tick(self) -> None:
        self.now += self.random.randrange(NANOSECONDS)
        for envoy in self.living:
            envoy.go_on(self.now)
        self.admitted.append((self.now, len(self.living), sum(envoy.admit() for envoy in self.living)))
        self.check()
        if self.random.random() < self.eventful:
            self.happen(self.random.choice(EVENTS))
        for envoy in self.living:
            if self.now >= envoy.silent and (envoy.reported is None or self.now - envoy.reported >= REPORTING):
                self.report(envoy)

    def happen(self, what: str) -> None:
        if what == "join" and len(self.living) < self.quota.envoys:
            self.started += 1
            self.living.append(Envoy(self.started, self.quota, at=self.now))
        if what == "restart":
            self.bucket = SharedBucket(self.quota, TTL, self.now)
        if not self.living:
            return
        envoy = self.random.choice(self.living)
        if what in ("leave", "reconnect"):
            self.bucket.leave(envoy.stream)
            envoy.stream += 1_000
            envoy.coming.clear()  # what was under way is lost
        if what == "leave":
            self.living.remove(envoy)
        if what == "silent":
            envoy.silent = self.now + self.random.randrange(4 * TTL)
        if what == "demand":
            envoy.percent = self.random.choice((0, 10, 100, 100, 100))

    def report(self, envoy: Envoy) -> None:
        elapsed = 0 if envoy.reported is None else max(1, self.now - envoy.reported)
        share = self.bucket.report(envoy.stream, Usage(envoy.asked, elapsed), self.now)
        envoy.asked, envoy.reported = 0, self.now
        if share is not None:
            if envoy.share is None and not envoy.coming:
                self.begun.append(self.now)
            # The stream keeps their order.
            heard = self.now + self.random.choice((0, GRACE))
            envoy.coming.append((max([heard, *(time for time, _ in envoy.coming)]), share))

    def check(self) -> None:
        """In every time that ends now."""
        assert sum(self.bucket.shares(self.now).values()) <= self.quota.parts
        assert sum(envoy.share or 0 for envoy in self.living) <= self.quota.parts
        limit = self.quota.limit
        total = 0
        for since, living, admitted in reversed(self.admitted):
            total += admitted
            begun = sum(1 for begun in self.begun if begun + GRACE > since)
            anew = max(0, begun - (self.quota.envoys - living))
            most = limit.burst + anew * self.quota.capacity
            assert (total - most) * limit.period * NANOSECONDS <= limit.count * (self.now - since)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 1_000), st.sampled_from((1, 60)), st.integers(0, 2), st.integers(1, 4), st.integers(0, 2**32))
def test_all_envoys_together_never_admit_more_than_is_promised(
    count: int, period: int, more: int, envoys: int, seed: int
) -> None:
    # With a burst of two seconds for each Envoy nothing is lost between two looks, so that the bound is reached.
    limit = Limit("route-0", "route/a", Per.ROUTE, count, period, envoys + more * count * envoys)
    world = World(Quota(limit, envoys), Random(seed))  # noqa: S311 - a simulation
    world.happen("join")
    for _ in range(TICKS):
        world.tick()
