"""A rollout as a picture: three panels over one time, with a line for each version and a mark for each decision. Plain
SVG, which needs no library to make and any browser to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

from extproc.cli.rollout_series import Picture, Point

WIDTH, PANEL, GAP, LEFT, RIGHT, HEAD, FOOT = 960, 170, 44, 70, 24, 74, 68
# Told apart by people who see few colours (Okabe and Ito), and in print by their dashes.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TURNED: Final = {"rolled back": "#b00020", "held": "#b00020", "completed": "#00703c", "promoted": "#00703c"}
QUIET: Final = "#5f6b7a"
TICKS: Final = 5
LETTER: Final = 8  # pixels: where a name would lie on the one before, it goes to another row
ROWS: Final = 2
Value = Callable[[Point], float | None]


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    top: float
    highest: float
    spell: Callable[[float], str]

    def y(self, value: float) -> float:
        return round(self.top + PANEL - min(1.0, value / self.highest) * PANEL, 2)


def svg(picture: Picture) -> str:
    height = HEAD + 3 * PANEL + 2 * GAP + FOOT
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 24, f"{picture.model}: {picture.status}", size=17, weight="bold"),
        *_legend(picture),
        *_panels(picture),
        *_decisions(picture),
        *_times(picture, height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panels(picture: Picture) -> Iterator[str]:
    shares = Panel("share of callers: assigned (line) and target (dashes)", HEAD, 1.0, _percent)
    errors = Panel("error rate", HEAD + PANEL + GAP, _highest(picture, lambda point: point.error_rate, 0.01), _percent)
    p95 = Panel("p95", HEAD + 2 * (PANEL + GAP), _highest(picture, lambda point: point.p95, 0.001), _seconds)
    for panel in (shares, errors, p95):
        yield from _frame(panel)
    yield from _lines(picture, shares, lambda point: point.target, dashed=True)
    yield from _lines(picture, shares, lambda point: point.share)
    yield from _lines(picture, errors, lambda point: point.error_rate)
    yield from _lines(picture, p95, lambda point: point.p95)


def _frame(panel: Panel) -> Iterator[str]:
    yield _text(LEFT, panel.top - 8, panel.title, weight="bold")
    for tick in range(TICKS):
        value = panel.highest * tick / (TICKS - 1)
        y = panel.y(value)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#d9dee4"/>'
        yield _text(LEFT - 8, y + 4, panel.spell(value), anchor="end", fill=QUIET)


def _lines(picture: Picture, panel: Panel, value: Value, *, dashed: bool = False) -> Iterator[str]:
    for place, line in enumerate(picture.lines.values()):
        colour = COLOURS[place % len(COLOURS)]
        style = 'stroke-dasharray="6 4" stroke-opacity="0.75"' if dashed else 'stroke-linejoin="round"'
        for points in _unbroken(picture, panel, [value(point) for point in line], stepped=dashed):
            yield f'<polyline fill="none" stroke="{colour}" stroke-width="2" {style} points="{points}"/>'


def _unbroken(picture: Picture, panel: Panel, values: Sequence[float | None], *, stepped: bool) -> Iterator[str]:
    """A line for each stretch in which something was seen. One that is `stepped` holds until it changes."""
    points: list[str] = []
    for place, value in enumerate([*values, None]):
        if value is None:
            if points:
                yield " ".join(points)
            points = []
            continue
        begin, end = (_x(picture, picture.since + (place + more) * picture.step) for more in (0, 1))
        y = panel.y(value)
        points += [f"{begin},{y}", f"{end},{y}"] if stepped else [f"{round((begin + end) / 2, 2)},{y}"]


def _decisions(picture: Picture) -> Iterator[str]:
    """A line through all panels, and its name below; names take turns in rows where they would lie on each other."""
    bottom = HEAD + 3 * PANEL + 2 * GAP
    ends = [0.0] * ROWS
    for one in picture.decisions:
        x, colour = _x(picture, one["at"]), TURNED.get(one["what"], QUIET)
        told = f"{one['what']} {one['after'].get(picture.candidate, 0.0):g} %: {one['by']} {one['reason']}".strip()
        drawn = f'<line x1="{x}" x2="{x}" y1="{HEAD}" y2="{bottom}" stroke="{colour}" stroke-dasharray="2 3">'
        yield f"{drawn}<title>{escape(told)}</title></line>"
        half = len(one["what"]) * LETTER / 2
        row = next((row for row in range(ROWS) if x - half >= ends[row]), None)
        if row is not None:
            ends[row] = x + half
            yield _text(min(x, WIDTH - half), bottom + 16 + 13 * row, one["what"], anchor="middle", fill=colour)


def _legend(picture: Picture) -> Iterator[str]:
    x = LEFT
    for place, (version, share) in enumerate(picture.shares.items()):
        name = f"{version}, now {share:g} %"
        colour = COLOURS[place % len(COLOURS)]
        yield f'<line x1="{x}" x2="{x + 22}" y1="40" y2="40" stroke="{colour}" stroke-width="3"/>'
        yield _text(x + 28, 44, name)
        x += 52 + 7 * len(name)


def _times(picture: Picture, height: int) -> Iterator[str]:
    for tick in range(TICKS):
        at = picture.since + (picture.until - picture.since) * tick / (TICKS - 1)
        anchor = "start" if tick == 0 else "end" if tick == TICKS - 1 else "middle"
        said = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%SZ")
        yield _text(_x(picture, at), height - 12, said, anchor=anchor, fill=QUIET)


def _x(picture: Picture, at: float) -> float:
    part = (at - picture.since) / (picture.until - picture.since)
    return round(LEFT + part * (WIDTH - LEFT - RIGHT), 2)


def _highest(picture: Picture, value: Value, least: float) -> float:
    """The top of a scale: the next of 1, 2, 2.5 and 5 times a power of ten."""
    every = [value(point) for line in picture.lines.values() for point in line]
    highest = max([least, *(one for one in every if one is not None)])
    scale = least
    factors = (2.0, 1.25, 2.0, 2.0)
    turn = 0
    while scale < highest:
        scale *= factors[turn % len(factors)]
        turn += 1
    return scale


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = "#1c2430",
    size: int = 12,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}" font-size="{size}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
