"""Policy kinds of installed packages: what a distribution's metadata names, is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from extproc.core.problems import Problem
from extproc.plugins.installed import GROUP, installed_kinds
from extproc.plugins.registry import discover
from tests.plugins.authors import GOOD

MODULE = "extproc_test_distribution"


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution on the path: a module, and metadata that names entry points in it."""

    def put(text: str, *points: str) -> None:
        (tmp_path / f"{MODULE}.py").write_text(text)
        metadata = tmp_path / "shop_policies-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-policies\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(points) + "\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, MODULE, raising=False)

    return put


def told() -> list[str]:
    problems: list[Problem] = []
    installed_kinds(problems)
    return [str(problem) for problem in problems]


def test_an_installed_kind_may_be_used(install: Install, tmp_path: Path) -> None:
    install(GOOD, f"hours = {MODULE}:Hours")
    registry = discover(tmp_path)
    assert not registry.problems
    assert set(registry.policies) == {"transform", "hours"}


def test_a_package_that_cannot_be_loaded_is_told_by_its_name(install: Install) -> None:
    install("raise RuntimeError('no')", f"hours = {MODULE}:Hours", "gone = gone_away:Gone")
    assert told() == [
        "shop-policies (gone_away:Gone):1:1: cannot be loaded: ModuleNotFoundError: No module named 'gone_away'",
        f"shop-policies ({MODULE}:Hours):1:1: cannot be loaded: RuntimeError: no",
    ]


def test_an_entry_point_has_the_name_of_its_kind(install: Install) -> None:
    install(GOOD, f"days = {MODULE}:Hours")
    assert told() == [f"shop-policies ({MODULE}:Hours):1:1: the entry point is called 'days', its policy kind 'hours'"]


def test_an_entry_point_that_is_no_kind_is_told(install: Install) -> None:
    install(GOOD, f"hours = {MODULE}:HoursSettings")
    assert told()[0].endswith(
        "has no name, Settings, phases, build: a policy kind has name, Settings, phases and build"
    )
