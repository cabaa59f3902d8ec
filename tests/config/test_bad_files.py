"""The corpus of bad files: one mistake in each `bad/NAME.yaml`, and in `bad/NAME.expected` what an operator reads.

A new case is a new pair of files. EXTPROC_WRITE_GOLDEN=1 writes the expectations; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from extproc.config.load import MAX_FILE_BYTES, load
from extproc.core.problems import InvalidConfig, Problem
from extproc.plugins.registry import built_in
from tests.config.gateways import NO_VARIABLES

BAD: Final = Path(__file__).with_name("bad")
CASES: Final = sorted(BAD.glob("*.yaml"))
SEVERAL: Final = frozenset({"eight-mistakes"})
REWRITE: Final = os.environ.get("EXTPROC_WRITE_GOLDEN") == "1"  # noqa: TID251 - asked for by whoever runs the tests

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)


def problems_in(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(InvalidConfig) as caught:
        load(file, NO_VARIABLES, built_in().settings)
    return caught.value.problems


def told(file: Path) -> str:
    """What `extproc check` prints, without the folder that this checkout happens to be in."""
    return "".join(f"{problem}\n" for problem in problems_in(file)).replace(f"{BAD}/", "")


@every_case
def test_a_bad_file_is_told_in_exactly_the_expected_words(case: Path) -> None:
    expected, text = case.with_suffix(".expected"), told(case)
    if REWRITE:
        expected.write_text(text, encoding="utf-8")
    assert expected.is_file(), f"no {expected.name} yet: set EXTPROC_WRITE_GOLDEN=1, read what it writes, commit it"
    assert text == expected.read_text(encoding="utf-8")


@every_case
def test_one_mistake_is_one_problem(case: Path) -> None:
    assert len(problems_in(case)) == 1 or case.stem in SEVERAL


@every_case
def test_no_problem_is_told_in_the_words_of_pydantic_or_python(case: Path) -> None:
    words = ("Input", "Value error", "valid dictionary", "instance of", "Extra inputs", "<class", "pydantic")
    assert not [word for word in words if word in told(case)]


@every_case
def test_a_problem_points_into_its_file(case: Path) -> None:
    lines = case.read_text(encoding="utf-8").split("\n")
    for problem in problems_in(case):
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def test_no_expectation_is_left_over_from_a_case_that_is_gone() -> None:
    stale = set(BAD.glob("*.expected")) - {case.with_suffix(".expected") for case in CASES}
    if REWRITE:
        for file in stale:
            file.unlink()
        return
    assert not stale


def test_eight_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    problems = problems_in(BAD / "eight-mistakes.yaml")
    assert len(problems) == 8
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    assert len({problem.message for problem in problems}) == 8


def test_a_file_that_is_not_there_is_a_problem_of_that_file(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path / "gateway.yaml")
    assert (problem.line, problem.message) == (1, "cannot be read: No such file or directory")


def test_a_folder_is_no_gateway_file(tmp_path: Path) -> None:
    (problem,) = problems_in(tmp_path)
    assert problem.message == "cannot be read: Is a directory"


def test_bytes_that_are_not_utf_8_are_no_gateway_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes("listeners: [{name: café}]".encode("latin-1"))
    (problem,) = problems_in(file)
    assert problem.message == "is not UTF-8 text"


def test_a_file_beyond_any_gateway_is_not_even_parsed(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    (problem,) = problems_in(file)
    assert problem.message == f"larger than {MAX_FILE_BYTES} bytes"
