"""A log whose reader stalls or goes away must not stop whoever writes it."""

from __future__ import annotations

import json
import sys
import threading
from io import StringIO

import pytest

from extproc.app import background
from extproc.app.background import WAITING, BackgroundLog


def test_lines_are_written_in_order_and_all_of_them_before_the_end() -> None:
    written = StringIO()
    stream = BackgroundLog(written)
    for number in range(100):
        stream.put(f"{number}\n".__str__)
    stream.close()
    assert written.getvalue().splitlines() == [str(number) for number in range(100)]


def test_lines_may_come_while_others_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts a line may be given the interpreter between any two steps of whoever writes."""
    monkeypatch.setattr(background, "LINGER", 0.0)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        written, lost = StringIO(), list[None]()
        stream = BackgroundLog(written, lambda: lost.append(None))
        for _ in range(300_000):
            stream.put("line\n".__str__)
        stream.close()
    finally:
        sys.setswitchinterval(usual)
    assert written.getvalue().count("line\n") + len(lost) == 300_000


class Stalled(StringIO):
    """A reader that reads nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()

    def write(self, text: str) -> int:
        self.reading.wait(30)
        return super().write(text)


def test_a_stalled_reader_costs_lines_and_is_told_how_many() -> None:
    written = Stalled()
    stream = BackgroundLog(written)
    for number in range(WAITING + 100):
        stream.put(f"{number}\n".__str__)
    written.reading.set()
    stream.close()
    lines = written.getvalue().splitlines()
    dropped = [json.loads(line)["lines"] for line in lines if line.startswith("{")]
    assert sum(dropped) + sum(not line.startswith("{") for line in lines) == WAITING + 100
    assert sum(dropped) >= 99


class Gone(StringIO):
    """Nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_went_away_is_no_error() -> None:
    stream = BackgroundLog(Gone())
    for _ in range(10):
        stream.put("line\n".__str__)
    stream.close()


def test_every_line_that_is_lost_is_told_once_whoever_loses_it() -> None:
    lost: list[str] = []
    written = Stalled()
    stream = BackgroundLog(written, lambda: lost.append("full"))
    for number in range(WAITING + 100):
        stream.put(f"{number}\n".__str__)
    written.reading.set()
    stream.close()
    lines = [line for line in written.getvalue().splitlines() if not line.startswith("{")]
    assert len(lost) + len(lines) == WAITING + 100
    gone = BackgroundLog(Gone(), lambda: lost.append("gone"))
    for _ in range(10):
        gone.put("line\n".__str__)
    gone.close()
    assert lost.count("gone") == 10
