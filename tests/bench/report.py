"""What a run says: one table, the ratio to each empty server, and what it was measured with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench.cases import EMPTY, EMPTY_BATCH, FUSED
from tests.bench.measure import Row, Sample, ratios, rows

COMPARED: Final = (EMPTY, EMPTY_BATCH)


def table(found: Sequence[Row]) -> Table:
    made = Table(title="medians of the rounds", title_justify="left")
    made.add_column("case")
    for name in ("requests/s", "p50 ms", "p99 ms", "Envoy CPU µs", "sidecar CPU µs"):
        made.add_column(name, justify="right")
    for row in found:
        sidecar = f"{row.sidecar:.0f}" if row.sidecar else "-"
        made.add_row(
            row.case, f"{row.per_second:,.0f}", f"{row.p50:.2f}", f"{row.p99:.2f}", f"{row.envoy:.0f}", sidecar
        )
    return made


def ratio_sentence(samples: Sequence[Sample], to: str) -> str:
    found = ratios(samples, FUSED, to)
    return (
        f"sidecar CPU per request, {FUSED} / {to}: {median(found):.2f}"
        f" (of {len(found)} rounds: {found[0]:.2f} to {found[-1]:.2f})"
    )


def print_report(samples: Sequence[Sample], used: Mapping[str, object], console: Console) -> None:
    console.print(table(rows(samples)))
    for to in COMPARED:
        console.print(ratio_sentence(samples, to))
    console.print(", ".join(f"{name} {value}" for name, value in used.items()), style="dim")


def as_json(samples: Sequence[Sample], used: Mapping[str, object]) -> str:
    document = {
        "rows": [asdict(row) for row in rows(samples)],
        "ratios": {
            to: {"median": median(ratios(samples, FUSED, to)), "rounds": ratios(samples, FUSED, to)} for to in COMPARED
        },
        "samples": [asdict(sample) for sample in samples],
        "used": dict(used),
    }
    return json.dumps(document, indent=2)
