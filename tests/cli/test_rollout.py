"""`extproc rollout`: what is typed, what is shown, and pictures that say what happened."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.cli.rollout_lines import BLOCKS, ROWS, band, drawn, steps_in
from extproc.cli.rollout_series import Picture, picture
from extproc.cli.rollout_svg import svg
from extproc.cli.rollout_watch import parse_span
from extproc.cli.rollouts import parse_shares
from tests.cli.commands import extproc
from tests.cli.rollout_desks import NOW, SPAN, STEPS, FakeDesk

SVG: Final = "{http://www.w3.org/2000/svg}"


def seen(points: int = 90) -> Picture:
    return picture(FakeDesk(), "recommend", NOW, SPAN, points)  # type: ignore[arg-type]


def lines(width: int, points: int | None = None) -> list[str]:
    return [line.plain for line in drawn(seen(points or steps_in(width)), width)]


@pytest.mark.parametrize(
    ("written", "shares"),
    [(["v2=50"], {"v2": 50.0}), (["v1=0.01", "v-2.x=100%"], {"v1": 0.01, "v-2.x": 100.0})],
)
def test_shares_are_read(written: list[str], shares: dict[str, float]) -> None:
    assert parse_shares(written) == shares


@pytest.mark.parametrize("written", ["v2", "v2=", "=5", "v2=101", "v2=-1", "v2=0.001", "v2=1e1", "v2=5 %", "v2=\u0665"])
def test_what_is_no_share_is_not_read(written: str) -> None:
    with pytest.raises(ValueError, match="v2=50"):
        parse_shares([written])
    with pytest.raises(ValueError, match="v2=50"):
        parse_shares(["v1=1", "v1=2"])


def test_target_and_assigned_shares_are_told_step_by_step() -> None:
    told = seen().told()
    assert len(told["points"]) == 90
    second = [point["versions"]["v2"] for point in told["points"]]
    assert [point["target"] for point in second if point["target"] != second[0]["target"]][:1] == [0.05]
    assert sorted({point["target"] for point in second}) == [0.0, 0.05, 0.25, 0.5]
    assert all(abs(point["share"] - point["target"]) < 0.1 for point in second[5:60])
    assert [one["what"] for one in told["decisions"]] == [what for _, what, _ in STEPS]
    assert "evidence" not in told["decisions"][0]


def test_before_the_first_change_that_is_known_the_target_is_what_it_changed() -> None:
    target = [point.target for point in seen().lines["v1"]]
    assert (target[0], target[-1]) == (1.0, 1.0)


@pytest.mark.parametrize("width", [44, 80, 100, 200])
def test_a_terminal_is_filled_and_not_overflown(width: int) -> None:
    shown = [line for line in lines(width) if any(block in line for block in BLOCKS[1:])]
    assert shown
    assert max(map(len, shown)) <= width


def test_decisions_are_marked_where_they_were_made_and_said_in_words() -> None:
    shown = lines(100)
    (marks,) = [line for line in shown if line.startswith("decisions")]
    assert re.sub(" +", " ", marks.removeprefix("decisions")).strip() == "S + + R"
    assert any("rolled back, v2 0 %, automatic: error rate 4.12% is above 2.00%" in line for line in shown)


@given(st.lists(st.one_of(st.none(), st.floats(0, 5)), max_size=80), st.floats(0.001, 2))
def test_a_band_has_a_block_for_every_step(values: list[float | None], highest: float) -> None:
    rows = band(values, highest)
    assert [len(row) for row in rows] == [len(values)] * ROWS
    shown = ["".join(column).strip() for column in zip(*rows, strict=True)]
    assert [bool(column) for column in shown] == [value is not None for value in values]


def test_a_picture_has_a_line_for_each_version_and_figure_and_a_mark_for_each_decision() -> None:
    root = ET.fromstring(svg(seen()))  # noqa: S314 - our own
    assert len(root.findall(f"{SVG}polyline")) == 2 * 2 + 2 * 2
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert {"recommend: rolled back", "error rate", "p95", "stepped", "rolled back"} <= set(texts)
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert len(titles) == len(STEPS)
    assert any("error rate 4.12% is above 2.00%" in title for title in titles)


def test_what_is_written_stays_within_the_picture() -> None:
    root = ET.fromstring(svg(seen()))  # noqa: S314 - our own
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for line in root.findall(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_names_and_reasons_cannot_break_out_of_a_picture() -> None:
    class Hostile(FakeDesk):
        def history(self, model: str) -> list[Any]:
            return [{**one, "reason": "</title><script>alert(1)</script>"} for one in super().history(model)]

    shown = svg(picture(Hostile(), "<b>&\"'", NOW, SPAN, 90))  # type: ignore[arg-type]
    assert "<script" not in shown
    assert ET.fromstring(shown) is not None  # noqa: S314 - our own


def test_a_rollout_that_nobody_used_is_drawn_all_the_same() -> None:
    class Idle(FakeDesk):
        def series(self, model: str, since: float, until: float, step: float) -> list[Any]:
            return [{"at": since, "versions": {}}]

        def history(self, model: str) -> list[Any]:
            return []

    empty = picture(Idle(), "recommend", NOW, SPAN, 10)  # type: ignore[arg-type]
    assert ET.fromstring(svg(empty)) is not None  # noqa: S314 - our own
    assert [line.plain for line in drawn(empty, 80)]


@pytest.mark.parametrize("span", ["9s", "soon", "", "1y"])
def test_too_short_a_span_is_refused(span: str) -> None:
    with pytest.raises(ValueError, match=r"10s|duration"):
        parse_span(span)


@pytest.mark.parametrize("command", [["status"], ["start", "m"], ["history", "m"], ["watch", "m"], ["set", "m", "v=1"]])
def test_without_a_sidecar_it_is_3_and_a_sentence(command: list[str], tmp_path: Path) -> None:
    told = extproc("rollout", *command, "--admin", "127.0.0.1:1", "--token", "hunter2", folder=tmp_path)
    assert (told.code, told.output) == (3, "")
    assert told.said == ["extproc: no sidecar answers at http://127.0.0.1:1: Connection refused"]
    assert "hunter2" not in told.errors


def test_json_is_ascii_and_whole() -> None:
    assert json.loads(json.dumps(seen().told()))["model"] == "recommend"
