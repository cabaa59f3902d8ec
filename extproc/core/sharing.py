"""All buckets that Envoys share, bounded in number."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum
from typing import Final

from extproc.core.quota import Quota, SharedBucket, Usage

MAX_BUCKETS: Final = 100_000  # some 60 MB here, and each Envoy holds its own


class Nothing(Enum):
    """Why an Envoy is not told anything about a bucket."""

    # As many Envoys as were promised have one, or had one lately; or it keeps what the sidecar before this one gave it.
    NO_SHARE = "no_share"
    TOO_MANY_BUCKETS = "too_many_buckets"
    IDLE = "idle"  # it is to forget the bucket


class Shares:
    """`lifetime` in nanoseconds is how long an assignment holds."""

    def __init__(self, lifetime: int, since: int, capacity: int = MAX_BUCKETS) -> None:
        self._lifetime = lifetime
        self._since = since
        self._capacity = capacity
        self._buckets: dict[Hashable, SharedBucket] = {}
        self._left: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._buckets)

    def report(self, envoy: Hashable, quota: Quota, key: Hashable, usage: Usage, now: int) -> int | Nothing:
        """The Envoy's share of the bucket `key` in parts of its quota, or why it is told none."""
        self._forget(now)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                return Nothing.TOO_MANY_BUCKETS
            bucket = self._buckets[key] = SharedBucket(quota, self._lifetime, self._since)
        share = bucket.report(envoy, usage, now)
        if share is None:
            if bucket.is_over(now):
                del self._buckets[key]
            return Nothing.NO_SHARE
        if bucket.is_idle(envoy, now):
            self.leave(envoy, key)
            return Nothing.IDLE
        return share

    def leave(self, envoy: Hashable, key: Hashable) -> None:
        """The Envoy will not report this bucket again."""
        if key in self._buckets:
            self._buckets[key].leave(envoy)
            self._left.add(key)

    def _forget(self, now: int) -> None:
        """Only where somebody left: elsewhere nothing has ended."""
        over = [key for key in self._left if self._buckets[key].is_over(now)]
        for key in over:
            del self._buckets[key]
        self._left.difference_update(over)
