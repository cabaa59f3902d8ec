"""The load: wrk or h2load, whichever is on PATH, for so many seconds at one URL."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

CONNECTIONS: Final = 16
MILLISECONDS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0}
OK: Final = 200


class NoLoadTool(Exception):
    """There is nothing here to make load with."""


class LoadFailed(Exception):
    """The tool failed, or something was answered that is not 200."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run saw from outside. Latencies in milliseconds."""

    requests: int
    per_second: float
    p50: float
    p99: float


class Tool(Protocol):
    @property
    def name(self) -> str: ...

    def run(self, url: str, headers: Mapping[str, str], seconds: float) -> Load:
        """Raises LoadFailed."""


def find_tool() -> Tool:
    """Raises NoLoadTool with a sentence that says what to install."""
    if shutil.which("wrk"):
        return Wrk()
    if shutil.which("h2load"):
        return H2load()
    raise NoLoadTool("there is nothing to make load with: apt install wrk, or apt install nghttp2-client for h2load")


@dataclass(frozen=True, slots=True)
class Wrk:
    name: str = "wrk"

    def run(self, url: str, headers: Mapping[str, str], seconds: float) -> Load:
        fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        length = f"{max(1, round(seconds))}s"  # wrk knows whole seconds only
        return parse_wrk(_output(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{length}", "--latency", *fields, url]))


@dataclass(frozen=True, slots=True)
class H2load:
    """It prints no percentiles, but writes every request's time."""

    name: str = "h2load"

    def run(self, url: str, headers: Mapping[str, str], seconds: float) -> Load:
        fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        with tempfile.NamedTemporaryFile() as log:
            command = ["h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"--duration={max(1, round(seconds))}"]
            output = _output([*command, f"--log-file={log.name}", *fields, url])
            return parse_h2load(output, Path(log.name).read_text("ascii"))


def _output(command: Sequence[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise LoadFailed(f"{command[0]} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout


def parse_wrk(output: str) -> Load:
    """Raises LoadFailed where an answer was not 2xx, a socket failed, or nothing was answered."""
    failed = re.search(
        r"Non-2xx or 3xx responses: \d+|Socket errors: (?!connect 0, read 0, write 0, timeout 0).*", output
    )
    if failed:
        raise LoadFailed(f"wrk: {failed[0]}")
    count, rate = re.search(r"(\d+) requests in ", output), re.search(r"Requests/sec: +([\d.]+)", output)
    if count is None or rate is None or not int(count[1]):
        raise LoadFailed(f"wrk said nothing that can be read:\n{output}")
    return Load(int(count[1]), float(rate[1]), _wrk_percentile(output, 50), _wrk_percentile(output, 99))


def _wrk_percentile(output: str, percent: int) -> float:
    found = re.search(rf"^ +{percent}% +([\d.]+)(us|ms|s)$", output, re.MULTILINE)
    if found is None:
        raise LoadFailed(f"wrk said nothing of its {percent}th percentile")
    return float(found[1]) * MILLISECONDS[found[2]]


def parse_h2load(output: str, log: str) -> Load:
    """`log` has a line per request: when, status, microseconds (h2load(1), --log-file). Raises LoadFailed."""
    lines = [line.split("\t") for line in log.splitlines()]
    others = [status for _, status, _ in lines if int(status) != OK]
    if others or not lines:
        raise LoadFailed(f"h2load: {len(others)} of {len(lines)} answers were not 200")
    rate = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", output)
    if rate is None:
        raise LoadFailed(f"h2load said nothing that can be read:\n{output}")
    times = sorted(int(taken) for *_, taken in lines)
    return Load(len(lines), float(rate[1]), _percentile(times, 50), _percentile(times, 99))


def _percentile(times: Sequence[int], percent: int) -> float:
    return times[min(len(times) - 1, len(times) * percent // 100)] / 1000
