"""What is wrong in a file, with its place, all at once."""

from __future__ import annotations

import pytest

from extproc.core.errors import ExtprocError
from extproc.core.problems import InvalidConfig, Path, Problem, spell_path


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ((), ""),
        (("routes",), "routes"),
        (("routes", 2, "match", "path_prefix"), "routes[2].match.path_prefix"),
        (("a", 0, 1, "b"), "a[0][1].b"),
        ((0,), "[0]"),
    ],
)
def test_a_path_is_spelled_with_dots_and_brackets(path: Path, spelled: str) -> None:
    assert spell_path(path) == spelled


@pytest.mark.parametrize(
    ("path", "hint", "line"),
    [
        ("routes[0]", "did you mean match?", "gateway.yaml:3:5: routes[0]: unknown key (did you mean match?)"),
        ("routes[0]", "", "gateway.yaml:3:5: routes[0]: unknown key"),
        ("", "", "gateway.yaml:3:5: unknown key"),
    ],
)
def test_a_problem_reads_as_compilers_write_them(path: str, hint: str, line: str) -> None:
    assert str(Problem("gateway.yaml", 3, 5, path, "unknown key", hint)) == line


def test_an_invalid_file_tells_every_problem_at_once() -> None:
    problems = [Problem("a.yaml", 1, 1, "x", "first"), Problem("a.yaml", 2, 1, "y", "second")]
    error = InvalidConfig(iter(problems))
    assert error.problems == tuple(problems)
    assert str(error) == "a.yaml:1:1: x: first\na.yaml:2:1: y: second"
    assert isinstance(error, ExtprocError)
