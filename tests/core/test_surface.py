"""What a policy author may import: sorted, complete, and free of charge until it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import extproc

HEAVY = ("pydantic", "grpc", "google.protobuf", "cel_expr_python", "yaml", "jwt", "starlette", "rich", "typer")


def modules_after(code: str) -> set[str]:
    listing = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_names_are_sorted_and_none_stands_twice() -> None:
    assert list(extproc.__all__) == sorted(set(extproc.__all__))


def test_the_names_are_those_that_have_a_home() -> None:
    homes = [name for names in extproc.HOMES.values() for name in names]
    assert sorted(homes) == list(extproc.__all__)


@pytest.mark.parametrize("name", extproc.__all__)
def test_every_name_is_the_one_of_its_home(name: str) -> None:
    home = next(module for module, names in extproc.HOMES.items() if name in names)
    assert getattr(extproc, name) is getattr(importlib.import_module(home), name)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'extproc' has no attribute 'PolicyChain'"):
        _ = extproc.PolicyChain


def test_importing_the_package_loads_nothing_that_is_heavy() -> None:
    loaded = modules_after("import extproc")
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("extproc.")}


def test_the_core_is_the_standard_library_only() -> None:
    assert not modules_after("from extproc import Policy, Continue, Limit, loads_strictly, choose") & set(HEAVY)


def test_settings_bring_pydantic_when_they_are_asked_for() -> None:
    assert "pydantic" in modules_after("from extproc import Settings")


BUILT_IN = sorted(Path(extproc.__file__).parent.joinpath("policies").rglob("*[a-z].py"))


@pytest.mark.parametrize("file", BUILT_IN, ids=lambda file: file.stem)
def test_the_built_in_policies_import_what_every_author_may_and_nothing_more(file: Path) -> None:
    imported = [
        node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ImportFrom | ast.Import)
    ]
    modules = {name for node in imported for name in _modules(node)}
    assert {name for name in modules if name.split(".")[0] == "extproc"} <= {"extproc"}
    names = {
        alias.name
        for node in imported
        if isinstance(node, ast.ImportFrom) and node.module == "extproc"
        for alias in node.names
    }
    assert names <= set(extproc.__all__)


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or "."] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
