"""Who hears what metered answers came to."""

from __future__ import annotations

from extproc.app.tokens import TokensTold
from extproc.core.evidence import Seen, Told
from extproc.core.message import Chosen, Consumer
from extproc.core.ports import Ended
from extproc.core.usage import Usage, Used
from extproc.testing import FakeClock


def test_tokens_are_summed_up_by_consumer_and_measured_by_route() -> None:
    sums: list[tuple[Used, Usage]] = []
    measured: list[tuple[str, int, str]] = []
    clock = FakeClock()
    told = TokensTold(clock, lambda used, usage: sums.append((used, usage)), lambda *seen: measured.append(seen))
    told("chat", Consumer("acme", "free"), 200, 42, Ended.SAID)
    told("chat", None, 200, 7, Ended.LEFT)
    hour = int(clock.now()) - int(clock.now()) % 3_600
    assert sums == [
        (Used(hour, "acme", "free", "chat", "2xx"), Usage(0, tokens=42)),
        (Used(hour, "", "", "chat", "2xx"), Usage(0, tokens=7)),
    ]
    assert measured == [("chat", 42, "said"), ("chat", 7, "left")]


def test_where_nothing_is_summed_up_it_is_measured_all_the_same() -> None:
    measured: list[tuple[str, int, str]] = []
    TokensTold(FakeClock(), None, lambda *seen: measured.append(seen))("chat", None, 200, 7, Ended.CUT)
    assert measured == [("chat", 7, "cut")]


def test_of_an_answer_that_a_version_gave_they_are_told_by_version_as_well() -> None:
    sums: list[Used] = []
    seen: list[tuple[Told, Seen]] = []
    clock = FakeClock()
    told = TokensTold(clock, lambda used, _: sums.append(used), lambda *_: None, lambda *one: seen.append(one))
    told("chat", Consumer("acme", "free"), 200, 42, Ended.SAID, Chosen("chat", "v2"))
    told("plain", Consumer("acme", "free"), 200, 42, Ended.SAID)
    assert [(used.model, used.version) for used in sums] == [("chat", "v2"), ("", "")]
    assert seen == [(Told("chat", "v2", int(clock.now())), Seen(0, tokens=42))]
