"""Every example's bootstrap, byte for byte, and what the real Envoy says of it."""

from __future__ import annotations

from pathlib import Path

import yaml

from extproc.app.envoy import find_envoy, validate
from extproc.app.rendering import write_files, write_whole
from extproc.bootstrap.version import OLDEST, spelled
from tests.golden.conftest import (
    FOLDERS,
    OUTPUT,
    REWRITE,
    ROOT,
    SECRETS,
    bootstrap_of,
    cases,
    expected_file,
    name_of,
    plan_of,
    rendered,
    secrets,
)


def test_a_gateway_file_renders_to_exactly_the_expected_bootstrap(case: Path) -> None:
    expected, text = expected_file(case), rendered(case)
    if REWRITE:
        expected.write_text(text, encoding="utf-8")
    assert expected.is_file(), f"no {expected.name} yet: run `make golden`, read what it writes, commit it"
    assert text == expected.read_text(encoding="utf-8")


def test_the_files_beside_a_bootstrap_are_exactly_the_expected_ones(case: Path) -> None:
    expected, text = case.with_name(name_of(case) + SECRETS), secrets(case)
    if REWRITE and text:
        expected.write_text(text, encoding="utf-8")
    assert text == (expected.read_text(encoding="utf-8") if expected.is_file() else "")


async def test_the_real_envoy_accepts_the_bootstrap(case: Path, tmp_path: Path) -> None:
    """What is rendered now, and not what is stored: written as `extproc render --into` does."""
    assert await validate(find_envoy(), write_files(plan_of(case), tmp_path, write_whole)) is None


def test_the_oldest_envoy_is_the_same_wherever_it_is_named(case: Path) -> None:
    """`make oldest` runs the bootstraps on it."""
    assert rendered(case).splitlines()[1] == f"# For Envoy {spelled(OLDEST)} or later."
    assert f"OLDEST := {spelled(OLDEST)}\n" in (ROOT / "Makefile").read_text("utf-8")


def test_what_is_written_reads_back_as_what_was_meant(case: Path) -> None:
    """Quoting: no text of ours becomes a boolean or a number on the way."""
    assert yaml.safe_load(rendered(case)) == bootstrap_of(case)


def test_no_expected_bootstrap_is_left_over_from_a_case_that_is_gone() -> None:
    written = {file for folder in FOLDERS for end in (OUTPUT, SECRETS) for file in folder.glob(f"*{end}")}
    stale = written - {expected_file(case) for case in cases()}
    stale -= {case.with_name(name_of(case) + SECRETS) for case in cases() if secrets(case)}
    if REWRITE:
        for file in stale:
            file.unlink()
        return
    assert not stale
