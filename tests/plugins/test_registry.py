"""All kinds of a gateway together, and what a file hears about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.app.project import build_gateway, read_project
from extproc.core.policy import Phase
from extproc.core.problems import InvalidConfig
from extproc.plugins.built_in import POLICIES
from extproc.plugins.registry import built_in, discover
from extproc.plugins.shape import flaws
from tests.plugins.authors import GATEWAY, GOOD, project


def problems_of(file: Path) -> list[str]:
    with pytest.raises(InvalidConfig) as caught:
        build_gateway(read_project(file, {}))
    return [str(problem).removeprefix(f"{file.parent}/") for problem in caught.value.problems]


@pytest.mark.parametrize("kind", POLICIES.values(), ids=POLICIES)
def test_the_built_in_kinds_are_held_to_what_authors_are_held_to(kind: object) -> None:
    assert flaws(kind) == []


def test_the_kinds_of_a_folder_join_the_built_in_ones(tmp_path: Path) -> None:
    project(tmp_path, hours=GOOD)
    assert set(discover(tmp_path).policies) == {*built_in().policies, "hours"}


@pytest.mark.parametrize("name", ["transform", "authorize", "limit", "choose"])
def test_a_name_that_is_taken_stays_whose_it_was(name: str, tmp_path: Path) -> None:
    project(tmp_path, hours=GOOD.replace('"hours"', f'"{name}"'))
    registry = discover(tmp_path)
    assert [problem.message for problem in registry.problems] == [f"the name {name!r} is taken by the gateway itself"]
    assert registry.kinds[name] is built_in().kinds[name]


def test_two_files_may_not_give_one_name(tmp_path: Path) -> None:
    file = project(tmp_path, a=GOOD, b=GOOD)
    assert problems_of(file) == ["policies/b.py:12:1: class Hours: the name 'hours' is taken by policies/a.py"]


def test_settings_are_checked_with_the_file(tmp_path: Path) -> None:
    file = project(tmp_path, GATEWAY.replace("{use: hours}", "{use: hours, start: nine, ends: 17}"), hours=GOOD)
    assert problems_of(file) == [
        "gateway.yaml:8:29: routes[0].policies[0].start: must be a whole number",
        "gateway.yaml:8:42: routes[0].policies[0].ends: unknown key 'ends' (did you mean end?)",
    ]


def test_the_problems_of_the_folder_and_of_the_file_are_told_together(tmp_path: Path) -> None:
    file = project(tmp_path, GATEWAY.replace("upstream: only", "upstream: nobody"), hours="import nowhere_at_all\n")
    assert [line.split(": ")[1] for line in problems_of(file)] == ["cannot be imported", "routes[0].upstream"]


def test_a_kind_that_could_not_be_read_is_not_told_a_second_time_as_unknown(tmp_path: Path) -> None:
    file = project(tmp_path, hours=GOOD + "\n1 / 0\n")
    assert problems_of(file) == ["policies/hours.py:27:1: cannot be imported: ZeroDivisionError: division by zero"]
    assert problems_of(project(tmp_path, GATEWAY.replace("use: hours", "use: hour"), hours=GOOD)) == [
        "gateway.yaml:8:17: routes[0].policies[0].use: there is no policy kind 'hour' (did you mean hours?)"
    ]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("raise ValueError('start is after end')", "start is after end"),
        ("return settings.fin", "hours cannot be built: AttributeError: 'HoursSettings' object has no attribute 'fin'"),
        ("return None", "hours built NoneType, which is no extproc.Policy"),
        ("return Hours", "hours built type, which is no extproc.Policy"),
        ("raise SystemExit", "hours cannot be built: SystemExit: "),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_built_is_told_where_the_file_uses_it(made: str, sentence: str, tmp_path: Path) -> None:
    file = project(tmp_path, hours=GOOD.replace("return Hours(settings)", made))
    assert problems_of(file) == [f"gateway.yaml:8:17: routes[0].policies[0].use: {sentence}"]


def test_a_kind_that_fails_to_say_what_it_needs_is_told(tmp_path: Path) -> None:
    file = project(
        tmp_path, hours=GOOD.replace("= frozenset({Phase.REQUEST})", "= staticmethod(lambda settings: 1 / 0)")
    )
    (sentence,) = problems_of(file)
    assert sentence.startswith("gateway.yaml:8:17: routes[0].policies[0].use: the policy kind cannot say what it needs")
    assert sentence.endswith("ZeroDivisionError: division by zero")


def test_settings_whose_own_check_breaks_are_told(tmp_path: Path) -> None:
    broken = GOOD.replace(
        "end: int = 17", "end: int = 17\n\n    def model_post_init(self, context):\n        raise KeyError(1)"
    )
    assert problems_of(project(tmp_path, hours=broken)) == [
        "gateway.yaml:8:16: routes[0].policies[0]: cannot be checked: KeyError in HoursSettings"
    ]


def test_a_kind_that_asks_to_see_more_gives_another_revision(tmp_path: Path) -> None:
    """With the old bootstrap, Envoy would not open the stream, and the policy would be passed by in silence."""
    seen = {}
    for phase in Phase:
        text = GOOD.replace("Phase.REQUEST", f"Phase.{phase.name}")
        seen[phase] = read_project(project(tmp_path, hours=text), {}).plan.revision
    assert len(set(seen.values())) == len(Phase)
