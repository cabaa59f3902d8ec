"""What it costs to check one credential, beside the least that it could be: `python -m tests.bench.credentials`.

A time says something about this machine; the ratio to the least says something about the code. Each round measures
every case in turn, so that a noisy machine is noisy for all of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from extproc.core import api_key
from extproc.core.headers import Headers
from extproc.core.message import Request
from extproc.policies.api_key import ApiKey
from extproc.stores.key_entry import KeyEntry
from extproc.stores.keys import MemoryKeys
from extproc.testing import FakeClock

ROUNDS: Final = 7
CALLS: Final = 5_000
MICROSECONDS: Final = 1_000_000
KEYS: Final = 10_000  # known ones; a look-up does not get slower with them
Check = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Case:
    """`least` is what no check of this kind can do without; `bound` is what is promised, in microseconds."""

    name: str
    check: Check
    least: Check
    bound: float


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    microseconds: float
    least: float
    bound: float

    @property
    def ratio(self) -> float:
        return self.microseconds / self.least


def cases() -> list[Case]:
    """One line for each kind of credential."""
    return [*_api_keys()]


def _api_keys() -> list[Case]:
    spelt = [api_key.spell(number.to_bytes(api_key.RANDOM_BYTES, "big")) for number in range(KEYS)]
    entries = [KeyEntry(sha256=api_key.digest(key), consumer=f"consumer-{number}") for number, key in enumerate(spelt)]
    method = ApiKey("partners", "x-api-key", MemoryKeys(FakeClock(), entries), "apikey")
    known = {entry.sha256: entry for entry in entries}
    key = spelt[KEYS // 2]
    other = api_key.spell(b"\xff" * api_key.RANDOM_BYTES)

    async def least() -> object:
        return known.get(hashlib.sha256(key.encode()).hexdigest())

    def asked(value: str, query: str = "") -> Check:
        fields = Headers.of({"x-api-key": value, "accept": "*/*"} if value else {"accept": "*/*"})
        request = Request("GET", "/", query=query, headers=fields)
        return lambda: method.authenticate(request)

    return [
        Case("API key, known", asked(key), least, 15),
        Case("API key, unknown", asked(other), least, 15),
        Case("API key, misspelt", asked(key[:-1] + "-"), least, 15),
        Case("API key in a query of five", asked("", f"a=1&b=2&apikey={key}&c=3&d=4"), least, 15),
    ]


async def measured(found: Sequence[Case], rounds: int = ROUNDS, calls: int = CALLS) -> list[Row]:
    taken = {case.name: ([0.0] * rounds, [0.0] * rounds) for case in found}
    for number in range(rounds):
        for case in found:
            ours, least = taken[case.name]
            least[number] = await _each(case.least, calls)
            ours[number] = await _each(case.check, calls)
    return [_row(case, *taken[case.name]) for case in found]


def _row(case: Case, ours: list[float], least: list[float]) -> Row:
    return Row(case.name, median(ours), median(least), case.bound)


async def _each(check: Check, calls: int) -> float:
    """Microseconds for one."""
    started = time.perf_counter()
    for _ in range(calls):
        await check()
    return (time.perf_counter() - started) / calls * MICROSECONDS


def table(rows: Sequence[Row]) -> Table:
    made = Table(title="one check of a credential, medians of the rounds", title_justify="left")
    made.add_column("case")
    for name in ("µs", "the least, µs", "ratio", "promised, µs"):
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(row.name, f"{row.microseconds:.2f}", f"{row.least:.2f}", f"{row.ratio:.1f}", f"{row.bound:g}")
    return made


def main() -> None:
    Console(highlight=False).print(table(asyncio.run(measured(cases()))))


if __name__ == "__main__":
    main()
