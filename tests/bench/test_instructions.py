"""The benchmark of instructions: what it counts are decisions that let a request through."""

from __future__ import annotations

import shutil

import pytest

from extproc.core.api_key import RANDOM_BYTES, spell
from tests.bench import cases, instructions


def test_every_decision_that_is_counted_is_an_allow() -> None:
    instructions.decide(5, counted=False)


def test_a_refusal_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "HEADERS", {**cases.HEADERS, "x-api-key": spell(b"?" * RANDOM_BYTES)})
    with pytest.raises(RuntimeError, match="refused"):
        instructions.decide(1, counted=False)


def test_without_valgrind_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert instructions.main([]) == 1
    assert "Debian: valgrind" in capsys.readouterr().err
