"""docs/configuration.md: its tables are current, it has every key, and its examples are a gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from docs.generate import MARKED, PAGE, filled, names
from extproc.config.load import load
from extproc.config.schema import language_schema
from extproc.core.variables import TYPES
from extproc.plan.model import DEFAULT_BODY_LIMIT, DEFAULT_TIMEOUT
from extproc.plan.times import STREAM_IDLE
from extproc.plugins.registry import built_in
from tests.certificates import Authority, dns, replace
from tests.config.schemas import refusals
from tests.docs.blocks import blocks
from tests.golden.conftest import REWRITE

KINDS: Final = built_in().settings
SCHEMA: Final = language_schema(KINDS)
SECTIONS: Final = list(SCHEMA["properties"])


def page() -> str:
    return PAGE.read_text("utf-8")


def example_of(section: str) -> str:
    """The first YAML block below its heading."""
    below = page().partition(f"\n## `{section}`\n")[2]
    return below.partition("```yaml\n")[2].partition("```")[0]


def test_the_tables_are_current() -> None:
    if REWRITE:
        PAGE.write_text(filled(page()), "utf-8")
    assert page() == filled(page()), "run `make golden`, read the difference, commit it"


def test_everything_that_has_a_table_has_its_place() -> None:
    marked = [found["name"] for found in MARKED.finditer(page())]
    assert sorted(marked) == sorted(["variables", *names(SCHEMA)])


def keys_of(value: Any) -> Iterator[str]:
    """Every key that the schema knows, wherever it stands."""
    if isinstance(value, dict):
        if isinstance(value.get("properties"), dict) and isinstance(value.get("type"), str):
            yield from value["properties"]
        for member in value.values():
            yield from keys_of(member)
    if isinstance(value, list):
        for member in value:
            yield from keys_of(member)


def test_no_key_is_missing() -> None:
    told = set(re.findall(r"`(?:[\w\[\].]+\.)?(\w+)`", page()))
    keys = set(keys_of(SCHEMA))
    assert {"hops", "leeway", "set", "body_limit", "use"} <= keys
    assert keys - told == set()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_shows_each_of_its_keys_in_an_example(section: str) -> None:
    below = page().partition(f"\n## `{section}`\n")[2].partition("\n## ")[0]
    keys = {path.rpartition(".")[2] for path in re.findall(r"^\| `([\w\[\].]+)` \|", below, re.MULTILINE)}
    examples = re.findall(r"```yaml\n(.*?)```", below, re.DOTALL)
    shown = {key for key in keys if any(re.search(rf"\b{key}:", example) for example in examples)}
    assert keys - shown == set()
    assert list(yaml.safe_load(examples[0])) == [section]


@pytest.fixture(name="named")
def _files_that_the_page_names(tmp_path: Path) -> Path:
    for name in ("jwks.json", "users.yaml"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "tls").mkdir()
    authority = Authority()
    for name in ("api", "shop"):
        authority.issue(dns(f"{name}.example.com")).write(tmp_path / "tls", name)
    for name in ("devices", "internal"):
        replace(tmp_path / "tls" / f"{name}.crt", authority.pem)
    replace(tmp_path / "tls" / "devices.crl", authority.revocations())
    for name in ("order.schema.json", "shop.openapi.yaml"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_the_examples_of_all_sections_are_one_gateway(named: Path) -> None:
    text = "\n".join(example_of(section) for section in SECTIONS)
    assert len(load(named / "gateway.yaml", {}, KINDS, text).config.routes) == 6
    assert refusals(text) == []


def test_the_policies_of_the_page_can_be_used(named: Path) -> None:
    examples = [block.text for block in blocks(PAGE) if block.text.startswith("policies:")]
    assert len(examples) > 1
    for used in examples:
        text = "\n".join(example_of(section) for section in SECTIONS).replace("  policies: []\n", indented(used))
        assert "use: transform" in text
        assert load(named / "gateway.yaml", {}, KINDS, text)
        assert refusals(text) == []


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def test_what_holds_where_nobody_says_anything_is_said_as_it_is() -> None:
    """The plan knows these; the models that describe the keys are below it."""
    keys = SCHEMA["$defs"]["gateway.route-settings"]["properties"]
    assert keys["timeout"]["description"].endswith(f"Left out everywhere: {DEFAULT_TIMEOUT:g}s.")
    assert keys["body_limit"]["description"].endswith(f"Left out everywhere: {DEFAULT_BODY_LIMIT // 1024**2}MiB.")
    assert STREAM_IDLE == 5 * 60
    assert "five minutes" in SCHEMA["$defs"]["gateway.route"]["properties"]["stream"]["description"]


def test_every_variable_is_told() -> None:
    table = page().partition("<!-- table: variables -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", table, re.MULTILINE) == list(TYPES.items())
