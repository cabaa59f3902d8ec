"""The folder of policies beside a gateway file: which classes in it are kinds, and how its mistakes are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extproc.core.problems import Problem
from extproc.plugins.folder import kinds_in
from tests.plugins.authors import GOOD, project


def told(folder: Path) -> list[str]:
    problems: list[Problem] = []
    kinds_in(folder, problems)
    return [str(problem) for problem in problems]


def names(folder: Path) -> list[str]:
    problems: list[Problem] = []
    found = [found.kind.name for found in kinds_in(folder, problems)]
    assert not problems
    return found


def test_without_a_folder_there_is_nothing_and_nothing_is_wrong(tmp_path: Path) -> None:
    assert names(tmp_path) == []


def test_a_kind_is_found_by_its_class_and_not_by_its_file(tmp_path: Path) -> None:
    project(tmp_path, any_file=GOOD)
    assert names(tmp_path) == ["hours"]


def test_a_file_may_have_several_kinds_and_a_kind_need_not_be_a_policy(tmp_path: Path) -> None:
    second = GOOD.replace("Hours", "Days").replace('"hours"', '"days"')
    kind_alone = """
class Third:
    name = "third"
    Settings = DaysSettings
    phases = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings, ports):
        return Days(settings)
"""
    project(tmp_path, both=GOOD + second + kind_alone)
    assert names(tmp_path) == ["hours", "days", "third"]


def test_what_a_file_imports_is_not_its_own_kind(tmp_path: Path) -> None:
    project(tmp_path, a=GOOD, b="from extproc.policies.transform import Transform\n" + GOOD.replace('"hours"', '"b"'))
    assert names(tmp_path) == ["hours", "b"]


def test_files_and_classes_that_begin_with_an_underscore_are_helpers(tmp_path: Path) -> None:
    shared = "START = 7\n"
    private = "class _Half(Policy):\n    pass\n"
    own = GOOD.replace("start: int = 9", "start: int = START").replace(
        "from dataclasses", "from ._shared import START\nfrom dataclasses"
    )
    project(tmp_path, _shared=shared, hours=own + private)
    problems: list[Problem] = []
    (found,) = kinds_in(tmp_path, problems)
    assert not problems
    assert found.kind.Settings().start == 7


def test_an_edit_is_seen_at_once_however_quick_it_was(tmp_path: Path) -> None:
    project(tmp_path, hours=GOOD)
    assert names(tmp_path) == ["hours"]
    file = tmp_path / "policies" / "hours.py"
    before = file.stat()
    file.write_text(GOOD.replace('"hours"', '"sours"'))  # as long as it was, and as old
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert names(tmp_path) == ["sours"]


def test_two_folders_do_not_see_each_other(tmp_path: Path) -> None:
    for name, start in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        project(tmp_path / name, _shared=f"START = {start}\n", hours="from ._shared import START\n" + GOOD)
    problems: list[Problem] = []
    first, second = (kinds_in(tmp_path / name, problems)[0].kind for name in ("one", "two"))
    assert not problems
    assert first.__module__ != second.__module__


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def broken(:\n", "policies/p.py:1:12: cannot be imported: SyntaxError: invalid syntax"),
        ("\nimport gone\n", "policies/p.py:2:1: cannot be imported: ModuleNotFoundError: No module named 'gone'"),
        ("\n\nraise SystemExit(3)\n", "policies/p.py:3:1: cannot be imported: SystemExit: 3"),
        ("def f():\n    1 / 0\nf()\n", "policies/p.py:2:1: cannot be imported: ZeroDivisionError: division by zero"),
        ("X = 1\n", "policies/p.py:1:1: has no policy kind (name a file that only helps _like_this.py)"),
        ("\0", "policies/p.py:1:1: cannot be imported: SyntaxError: source code string cannot contain null bytes"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_told_with_its_place(text: str, sentence: str, tmp_path: Path) -> None:
    project(tmp_path, p=text)
    assert told(tmp_path) == [sentence]


@pytest.mark.parametrize(
    ("right", "wrong", "flaw"),
    [
        ('    name: ClassVar[str] = "hours"\n', "", "has no name: a policy kind has name, Settings, phases and build"),
        ('"hours"', '"Business Hours"', "its name is no text like business_hours"),
        ('"hours"', "7", "its name is no text like business_hours"),
        ("= HoursSettings\n", "= dict\n", "its Settings is no class derived from extproc.Settings"),
        ("= frozenset({Phase.REQUEST})", '= frozenset({"request"})',
         "its phases are no frozenset of extproc.Phase, nor a function that gives one"),
        ("= frozenset({Phase.REQUEST})", "= frozenset()",
         "its phases are no frozenset of extproc.Phase, nor a function that gives one"),
        ("    @staticmethod\n    def build", "    build = None\n    @staticmethod\n    def make",
         "its build cannot be called"),
    ],
)  # fmt: skip
def test_a_class_that_is_nearly_a_kind_is_told_what_it_lacks(right: str, wrong: str, flaw: str, tmp_path: Path) -> None:
    assert right in GOOD
    project(tmp_path, hours=GOOD.replace(right, wrong))
    (sentence,) = told(tmp_path)
    assert sentence.startswith("policies/hours.py:")
    assert sentence.endswith(f"class Hours: {flaw}")


def test_every_file_with_a_mistake_is_told_at_once(tmp_path: Path) -> None:
    project(tmp_path, a="import nowhere_at_all\n", b=GOOD, c="X = 1\n")
    assert [sentence.split(":")[0] for sentence in told(tmp_path)] == ["policies/a.py", "policies/c.py"]
