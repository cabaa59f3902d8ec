"""Interleaved rounds: each case in turn, again and again, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from extproc.bootstrap.render import render
from tests.bench.cases import HEADERS, Case, make_cases, upstream_bootstrap
from tests.bench.load import Load, Tool
from tests.bench.processes import Processes, cpu_seconds
from tests.free_ports import free_port

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One case in one round. CPU in microseconds per request."""

    case: str
    load: Load
    envoy: float
    sidecar: float


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of a case."""

    case: str
    per_second: float
    p50: float
    p99: float
    envoy: float
    sidecar: float


@dataclass(frozen=True, slots=True)
class Running:
    case: Case
    envoy: subprocess.Popen[bytes]
    sidecar: subprocess.Popen[bytes] | None


@contextmanager
def started(folder: Path) -> Iterator[list[Running]]:
    processes = Processes()
    try:
        port, admin = free_port(), free_port()
        (folder / "upstream").mkdir()
        bootstrap = folder / "upstream" / "bootstrap.yaml"
        bootstrap.write_text(render(upstream_bootstrap(port, admin)))
        processes.start_envoy(bootstrap, admin, asks_sidecar=False)
        yield [_start(case, processes) for case in make_cases(folder, f"127.0.0.1:{port}")]
    finally:
        processes.stop()


def _start(case: Case, processes: Processes) -> Running:
    sidecar = processes.start(case.sidecar, case.folder / "sidecar.log") if case.sidecar else None
    return Running(case, processes.start_envoy(case.bootstrap, case.admin, asks_sidecar=bool(sidecar)), sidecar)


def measure(
    running: Sequence[Running], tool: Tool, rounds: int, seconds: float, progress: Callable[[str], None]
) -> list[Sample]:
    """Raises LoadFailed where anything but 200 was answered."""
    samples = []
    for one in running:  # connections are made and caches filled before anything counts
        tool.run(one.case.url, HEADERS, 1)
    for number in range(rounds):
        for one in running:
            progress(f"round {number + 1} of {rounds}: {one.case.name}")
            samples.append(_sample(one, tool, seconds))
    return samples


def _sample(one: Running, tool: Tool, seconds: float) -> Sample:
    envoy, sidecar = cpu_seconds(one.envoy), cpu_seconds(one.sidecar)
    load = tool.run(one.case.url, HEADERS, seconds)
    each = MICROSECONDS / load.requests
    return Sample(
        one.case.name, load, (cpu_seconds(one.envoy) - envoy) * each, (cpu_seconds(one.sidecar) - sidecar) * each
    )


def rows(samples: Sequence[Sample]) -> list[Row]:
    names = dict.fromkeys(sample.case for sample in samples)
    return [_row(name, [sample for sample in samples if sample.case == name]) for name in names]


def _row(name: str, samples: Sequence[Sample]) -> Row:
    return Row(
        name,
        per_second=median(sample.load.per_second for sample in samples),
        p50=median(sample.load.p50 for sample in samples),
        p99=median(sample.load.p99 for sample in samples),
        envoy=median(sample.envoy for sample in samples),
        sidecar=median(sample.sidecar for sample in samples),
    )


def ratios(samples: Sequence[Sample], case: str, to: str) -> list[float]:
    """The sidecar's CPU of one case against another's, round by round, from the lowest."""
    mine = [sample.sidecar for sample in samples if sample.case == case]
    theirs = [sample.sidecar for sample in samples if sample.case == to]
    return sorted(one / other for one, other in zip(mine, theirs, strict=True))
