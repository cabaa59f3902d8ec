"""What becomes of hits on the limits of envoyproxy/ratelimit's files: its own statistics, as Prometheus metrics.

docs/ratelimit.md tells each of them, held by a test.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

from extproc.core.tally import Tally
from extproc.telemetry.labels import OTHER
from extproc.telemetry.tallies import Tallies
from extproc.telemetry.tallies import Tally as Series

# `detailed_metric`, `value_to_metric` and a limit that a request brings along make a series for each value.
SERIES: Final = 10_000
DOMAINS: Final = 100  # that no file holds: a caller names them
LONGEST: Final = 250  # characters of a label's value
LABELS: Final = ("domain", "descriptor")


class LimitMetrics:
    """Fills a registry that has the process's other metrics as well."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def family(name: str, documentation: str, labels: tuple[str, ...] = LABELS) -> Tallies:
            return Tallies(name, documentation, labels, registry=registry)

        self._hits = family("extproc_ratelimit_hits_total", "Hits on a limit, whatever came of them.")
        self._within = family("extproc_ratelimit_within_limit_total", "Hits within a limit.")
        self._near = family("extproc_ratelimit_near_limit_total", "Hits within a limit, beyond the near-limit ratio.")
        self._over = family("extproc_ratelimit_over_limit_total", "Hits over a limit.")
        self._shadow = family("extproc_ratelimit_shadow_mode_total", "Hits over a limit that refuses nobody.")
        self._unknown = family(
            "extproc_ratelimit_domain_not_found_total", "Descriptors of a domain that no file holds.", ("domain",)
        )
        self._global = family(
            "extproc_ratelimit_global_shadow_mode_total", "Calls over a limit, let through as all are.", ()
        )
        self._known: dict[tuple[str, str], tuple[Series, Series, Series, Series, Series]] = {}
        self._domains: set[str] = set()

    def hits(self, domain: str, descriptor: str, tally: Tally) -> None:
        series = self._known.get((domain, descriptor)) or self._series(domain, descriptor)
        for one, count in zip(series, (tally.total, tally.within, tally.near, tally.over, tally.shadowed), strict=True):
            one.count += count

    def _series(self, domain: str, descriptor: str) -> tuple[Series, Series, Series, Series, Series]:
        if len(self._known) >= SERIES or len(descriptor) > LONGEST:
            descriptor = OTHER
        labels = (domain, descriptor)
        families = (self._hits, self._within, self._near, self._over, self._shadow)
        hits, within, near, over, shadow = (family.labels(*labels) for family in families)
        return self._known.setdefault(labels, (hits, within, near, over, shadow))

    def domain_not_found(self, domain: str) -> None:
        if domain not in self._domains:
            if len(self._domains) >= DOMAINS or len(domain) > LONGEST:
                domain = OTHER
            self._domains.add(domain)
        self._unknown.labels(domain).count += 1

    def shadowed(self) -> None:
        self._global.labels().count += 1
