"""The two text formats that a scraper may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def exposition(registry: CollectorRegistry, accept: str) -> tuple[str, bytes]:
    """Content type and text. OpenMetrics for whoever likes it at least as much as plain text (RFC 9110 §12.5.1).

    The library's own choice takes the first that is named, whatever its weight, and says any version that it was asked.
    """
    if prefers_openmetrics(accept):
        return OPENMETRICS, openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    return PLAIN, generate_latest(registry)


def prefers_openmetrics(accept: str) -> bool:
    weights = list(_weights(accept))
    liked = max((weight for name, weight in weights if name == "application/openmetrics-text"), default=0.0)
    return liked > 0 and liked >= max((weight for name, weight in weights if name == "text/plain"), default=0.0)


def _weights(accept: str) -> Iterator[tuple[str, float]]:
    """The media types that are named, without those in a version of OpenMetrics that we do not write."""
    for member in accept.lower().split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        told = dict(parameter.partition("=")[::2] for parameter in parameters)
        if name != "application/openmetrics-text" or told.get("version", "1.0.0") == "1.0.0":
            yield name, _weight(told.get("q", "1"))


def _weight(text: str) -> float:
    """At most 1; what is no number asks for nothing."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
