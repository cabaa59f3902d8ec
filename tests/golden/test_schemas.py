"""The schemas that editors find beside the examples: current, and each the right one for its files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from extproc.config.load import Kinds
from extproc.config.schema import schema_text
from extproc.plugins.registry import built_in, discover
from tests.config.whole_gateway import as_an_editor_reads
from tests.golden.conftest import DEMO, REWRITE, ROOT

LINE: Final = re.compile(r"# yaml-language-server: \$schema=(?P<schema>\S+)\n")
EXAMPLES: Final = sorted([*ROOT.glob("envoy/*.gateway.yaml"), DEMO])
# The demo has a kind of its own, which an editor that knows the built-in ones alone would mark as a mistake.
SCHEMAS: Final[dict[str, Kinds]] = {
    "docs/gateway.schema.json": built_in().settings,
    "docs/demo.schema.json": discover(DEMO.parent).settings,
}


def schema_of(file: Path) -> Path:
    named = LINE.match(file.read_text("utf-8"))
    assert named, f"the first line of {file.name} tells an editor which schema it has"
    return (file.parent / named["schema"]).resolve()


@pytest.mark.parametrize(("name", "kinds"), SCHEMAS.items(), ids=SCHEMAS)
def test_a_schema_is_current(name: str, kinds: Kinds) -> None:
    if REWRITE:
        (ROOT / name).write_text(schema_text(kinds), "utf-8")
    assert (ROOT / name).read_text("utf-8") == schema_text(kinds), "run `make golden`, read the difference, commit it"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_names_a_schema_that_accepts_it(file: Path) -> None:
    schema: Any = json.loads(schema_of(file).read_text("utf-8"))
    errors = Draft202012Validator(schema).iter_errors(as_an_editor_reads(file.read_text("utf-8")))
    assert [error.message for error in errors] == []


def test_every_schema_is_some_examples() -> None:
    assert {schema_of(file) for file in EXAMPLES} == {ROOT / name for name in SCHEMAS}
