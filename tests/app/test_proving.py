"""`check` proves each adaptation with documents that are made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from extproc.app.project import Project, read_project
from extproc.app.proving import prove
from extproc.core.problems import InvalidConfig
from tests.config.gateways import LISTENERS, UPSTREAMS

ROUTE = """\
versions: {v1: {}, v2: {}}
routes:
  - name: users
    match: {path: /users}
    upstream: users
    authenticate: none
    version: {is: v1, adapt_to: v2, response: [%s]}
"""


def project(*changes: str) -> Project:
    return read_project(Path("gateway.yaml"), {}, LISTENERS + UPSTREAMS + ROUTE % ", ".join(changes))


def test_an_adaptation_that_loses_nothing_is_proved() -> None:
    assert prove(project("{rename: {a: b}}", "{convert: {b: text_to_list}}", "{wrap: {.: data}}")) == 1


def test_one_that_loses_something_is_told_with_its_place_and_a_document() -> None:
    with pytest.raises(InvalidConfig) as caught:
        prove(project("{default: {x: bad}}", "{convert: {x: number_to_text}}"))
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (9, "routes[0].version")
    assert problem.message.startswith("does not survive: {} cannot go there and back: at x: not a whole number")
