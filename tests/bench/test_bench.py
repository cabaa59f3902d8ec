"""The benchmark's own arithmetic, and one run of it that is too short to measure anything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from tests.bench.cases import EMPTY, EMPTY_BATCH, FUSED, PLAIN
from tests.bench.load import Load, LoadFailed, NoLoadTool, find_tool, parse_h2load, parse_wrk
from tests.bench.measure import Sample, ratios, rows
from tests.bench.report import as_json, print_report

ROOT: Final = Path(__file__).parents[2]
WRK: Final = """\
Running 1s test @ http://127.0.0.1:40547/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   631.85us    1.10ms   8.84ms   89.35%
    Req/Sec    12.89k     4.47k   17.99k    60.00%
  Latency Distribution
     50%  241.00us
     75%  350.00us
     90%    1.88ms
     99%    5.37ms
  12879 requests in 1.00s, 1.73MB read
Requests/sec:  12820.31
Transfer/sec:      1.72MB
"""
H2LOAD: Final = """\
finished in 1.00s, 9197.00 req/s, 1.24MB/s
requests: 9197 total, 9201 started, 9197 done, 9197 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 9197 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_wrk_is_read() -> None:
    assert parse_wrk(WRK) == Load(12879, 12820.31, 0.241, 5.37)


@pytest.mark.parametrize(
    "said",
    [
        WRK + "  Non-2xx or 3xx responses: 1\n",
        WRK + "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
        WRK.replace("12879 requests", "0 requests"),
        WRK.replace("     99%    5.37ms\n", ""),
        "",
    ],
)
def test_a_run_of_wrk_in_which_anything_failed_counts_for_nothing(said: str) -> None:
    with pytest.raises(LoadFailed):
        parse_wrk(said)


def test_h2load_is_read_with_percentiles_of_its_log() -> None:
    log = "".join(f"1795579325015658\t200\t{taken}\n" for taken in range(1000, 101_000, 1000))
    assert parse_h2load(H2LOAD, log) == Load(100, 9197.0, 51.0, 100.0)


@pytest.mark.parametrize("log", ["", "1\t200\t5\n2\t503\t5\n", "1\t-1\t5\n"])
def test_a_run_of_h2load_in_which_anything_failed_counts_for_nothing(log: str) -> None:
    with pytest.raises(LoadFailed):
        parse_h2load(H2LOAD, log)


def test_without_a_tool_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoLoadTool, match="apt install wrk, or apt install nghttp2-client"):
        find_tool()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench"], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "apt install wrk" in ended.stderr


def samples() -> list[Sample]:
    """Three rounds, in the second of which the machine was busy with something else."""
    loads = {
        PLAIN: Load(1000, 900.0, 1.0, 2.0),
        EMPTY: Load(500, 400.0, 2.0, 4.0),
        EMPTY_BATCH: Load(600, 500.0, 2.0, 4.0),
        FUSED: Load(300, 200.0, 3.0, 6.0),
    }
    cost = {PLAIN: 0.0, EMPTY: 100.0, EMPTY_BATCH: 80.0, FUSED: 160.0}
    return [
        Sample(name, load, envoy=50.0 * busy, sidecar=cost[name] * busy * (1.1 if busy > 1 and name == FUSED else 1))
        for busy in (1.0, 3.0, 1.0)
        for name, load in loads.items()
    ]


def test_a_row_has_the_medians_of_its_case() -> None:
    plain, empty, batch, fused = rows(samples())
    assert (plain.case, empty.case, batch.case, fused.case) == (PLAIN, EMPTY, EMPTY_BATCH, FUSED)
    assert (fused.per_second, fused.p50, fused.p99, fused.envoy, fused.sidecar) == (200.0, 3.0, 6.0, 50.0, 160.0)
    assert plain.sidecar == 0.0


def test_the_ratio_is_taken_round_by_round() -> None:
    assert ratios(samples(), FUSED, EMPTY) == pytest.approx([1.6, 1.6, 1.76])


def test_the_report_has_a_row_for_each_case_and_the_ratio_to_each_empty_server() -> None:
    written = StringIO()
    print_report(samples(), {"tool": "wrk"}, Console(file=written, width=200))
    text = written.getvalue()
    assert all(name in text for name in (PLAIN, EMPTY, EMPTY_BATCH, FUSED))
    assert "sidecar CPU per request, fused route / empty ext_authz: 1.60 (of 3 rounds: 1.60 to 1.76)" in text
    assert "sidecar CPU per request, fused route / empty, SCHED_BATCH: 2.00 (of 3 rounds: 2.00 to 2.20)" in text
    told = json.loads(as_json(samples(), {}))["ratios"]
    assert (told[EMPTY]["median"], told[EMPTY_BATCH]["median"]) == pytest.approx((1.6, 2.0))


@pytest.mark.e2e
@pytest.mark.skipif(not (shutil.which("wrk") or shutil.which("h2load")), reason="neither wrk nor h2load is here")
def test_a_short_run_answers_every_case() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--rounds", "1", "--seconds", "1", "--output", "json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert [row["case"] for row in document["rows"]] == [PLAIN, EMPTY, EMPTY_BATCH, FUSED]
    assert all(row["per_second"] > 0 and row["envoy"] > 0 for row in document["rows"])
    assert all(sample["load"]["requests"] > 0 for sample in document["samples"])
