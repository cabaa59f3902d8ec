"""Where to look in the bootstraps that are held to be hardened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.golden.conftest import bootstrap_of

EGRESS: Final = "extproc.egress"
HTTP: Final = "type.googleapis.com/envoy.extensions.filters.http."


def listeners(case: Path) -> list[dict[str, Any]]:
    """Those that clients reach; the sidecar's own way out is held in test_egress.py."""
    return [one for one in bootstrap_of(case)["static_resources"]["listeners"] if one["name"] != EGRESS]


def managers(case: Path) -> Iterator[dict[str, Any]]:
    for listener in listeners(case):
        yield listener["filter_chains"][0]["filters"][-1]["typed_config"]


def http_filters(case: Path, kind: str) -> Iterator[dict[str, Any]]:
    for manager in managers(case):
        for item in manager["http_filters"]:
            if item["typed_config"]["@type"] == HTTP + kind:
                yield item["typed_config"]


def sidecar(case: Path) -> dict[str, Any]:
    clusters: list[dict[str, Any]] = bootstrap_of(case)["static_resources"]["clusters"]
    return next(cluster for cluster in clusters if cluster["name"] == "extproc.sidecar")


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path, or None."""
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = (value or {}).get(part)
    return value
