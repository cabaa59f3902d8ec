"""A rollout in a terminal: a band of blocks for each version and figure, as wide as the terminal. No colour is needed
to read it, for each band has its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from extproc.cli.rollout_series import Picture, Point
from extproc.cli.rollouts import moment, spell_share, spell_shares

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
ROWS: Final = 2  # of a band: sixteen heights
NARROWEST: Final = 10  # steps
LABEL, BEHIND = 22, 12  # columns in front of a band and behind it
COLOURS: Final = ("cyan", "magenta", "yellow", "green", "blue", "red")
MARKS: Final = {
    "planned": "p",
    "set": "s",
    "started": "S",
    "stepped": "+",
    "paused": "=",
    "held": "!",
    "completed": "C",
    "promoted": "P",
    "rolled back": "R",
}
SHOWN: Final = 8  # decisions in words
Value = Callable[[Point], float | None]


def steps_in(width: int) -> int:
    """How many steps of time a terminal of that width shows."""
    return max(NARROWEST, width - LABEL - BEHIND)


def drawn(picture: Picture, width: int) -> Iterator[Text]:
    count = min(steps_in(width), max(map(len, picture.lines.values()), default=0))
    yield Text(f"{picture.model}: {picture.status}, {spell_shares(picture.shares)}", "bold")
    yield from _bands(picture, count, "share, target", lambda point: point.target, 1.0, _percent)
    yield from _bands(picture, count, "share, assigned", lambda point: point.share, 1.0, _percent)
    yield from _bands(picture, count, "errors", lambda point: point.error_rate, None, _percent)
    yield from _bands(picture, count, "p95", lambda point: point.p95, None, _milliseconds)
    yield Text(f"{'decisions':<{LABEL}}{_marks(picture, count)}")
    begin, end = (datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ") for at in (picture.since, picture.until))
    yield Text(f"{'':<{LABEL}}{begin}{end:>{max(1, count - len(begin))}}", "dim")
    for one in picture.decisions[-SHOWN:]:
        why = f": {one['reason']}" if one["reason"] else ""
        share = spell_share(one["after"].get(picture.candidate, 0.0))
        mark = MARKS.get(one["what"], "?")
        yield Text(f"{mark} {moment(one['at'])}  {one['what']}, {picture.candidate} {share}, {one['by']}{why}")


def _bands(
    picture: Picture, count: int, name: str, value: Value, top: float | None, spell: Callable[[float], str]
) -> Iterator[Text]:
    """All versions of a figure on one scale, so that they can be compared."""
    every = [value(point) for line in picture.lines.values() for point in line]
    highest = top or max((one for one in every if one is not None), default=0.0) or 1.0
    for place, (version, line) in enumerate(picture.lines.items()):
        values = [value(point) for point in line][-count:]
        last = next((one for one in reversed(values) if one is not None), None)
        behind = f" {spell(last) if last is not None else '-'}"
        for row, text in enumerate(band(values, highest)):
            label = f"{name if place == row == 0 else '':<16}{version[: LABEL - 18] if row == ROWS - 1 else ''}"
            said = behind if row == ROWS - 1 else ""
            yield Text.assemble(f"{label:<{LABEL}}", (text, COLOURS[place % len(COLOURS)]), said)


def band(values: Sequence[float | None], highest: float) -> list[str]:
    """From the upper row to the lowest. What was not seen is left out; what is there is never nothing."""
    full = len(BLOCKS) - 1
    heights = [
        0 if value is None else max(1, round(min(1.0, value / highest) * ROWS * full)) if value > 0 else 0
        for value in values
    ]
    rows = [
        "".join(BLOCKS[min(full, max(0, height - row * full))] for height in heights) for row in reversed(range(ROWS))
    ]
    # A zero that was seen is a line at the bottom, and not a gap.
    rows[-1] = "".join(
        "_" if height == 0 and value is not None else block
        for height, value, block in zip(heights, values, rows[-1], strict=True)
    )
    return rows


def _marks(picture: Picture, count: int) -> str:
    """Where something was decided; of several in one step, the last."""
    marks = [" "] * count
    whole = max(map(len, picture.lines.values()), default=0)
    for one in picture.decisions:
        place = int((one["at"] - picture.since) / picture.step) - (whole - count)
        if 0 <= place < count:
            marks[place] = MARKS.get(one["what"], "?")
    return "".join(marks)


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _milliseconds(value: float) -> str:
    return f"{value * 1000:.3g} ms"
