"""Histograms that the event loop fills and a scrape reads: the library's own take two locks for each observation, and a
decision is observed once for each of its policies."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from extproc.core.limits import NANOSECONDS


class Timing:
    """One series. Filled by one thread alone."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def observe(self, nanoseconds: int) -> None:
        self.counts[bisect_left(self.bounds, nanoseconds)] += 1
        self.total += nanoseconds


class Timings(Collector):
    """A histogram in seconds with one label. `buckets` are upper bounds in seconds, without the infinite one."""

    def __init__(
        self, name: str, documentation: str, label: str, *, registry: CollectorRegistry, buckets: Sequence[float]
    ) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._bounds = [round(bound * NANOSECONDS) for bound in buckets]
        self._shown = [*map(floatToGoString, buckets), "+Inf"]
        self._series: dict[str, Timing] = {}
        registry.register(self)

    def labels(self, value: str) -> Timing:
        return self._series.setdefault(value, Timing(self._bounds))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Asked when it is registered: which names are taken."""
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = self._family()
        for value, timing in list(self._series.items()):
            total, counts = timing.total, accumulate(list(timing.counts))
            family.add_metric([value], list(zip(self._shown, counts, strict=True)), total / NANOSECONDS)
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
