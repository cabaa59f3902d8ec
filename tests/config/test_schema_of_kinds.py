"""Kinds that authors write: whatever their settings are made of, the schema says no less than the loader takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from extproc.config.load import Kinds
from extproc.config.schema import gateway_schema
from extproc.config.settings import Duration, HostPort, LimitRate, Name, Rate, Settings
from extproc.core.problems import InvalidConfig
from tests.config.gateways import BUILT_IN, SMALL, load_text
from tests.config.schemas import refusals


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Circle(Settings):
    shape: Literal["circle"] = "circle"
    radius: float


class Square(Settings):
    shape: Literal["square"] = "square"
    side: Annotated[int, Field(gt=0, multiple_of=2)]


class Tree(Settings):
    """Holds itself."""

    name: Name
    below: list[Tree] = []


class Everything(Settings):
    """All sorts."""

    wait: timedelta = timedelta(seconds=90)
    """How long."""
    own_wait: Duration = timedelta(hours=2)
    rate: LimitRate = Rate(5, 60)
    upstream: HostPort = HostPort("a", 1)
    day: date | None = None
    price: Decimal = Decimal(1)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    names: set[str] = {"a"}
    pair: tuple[int, bool] = (1, True)
    counts: dict[str, int] = {}
    figure: Annotated[Circle | Square, Field(discriminator="shape")] = Circle(radius=1)
    either: int | list[str] = 3
    tree: Tree | None = None
    anything: Any = None
    unsayable: Callable[[], None] | None = None
    long_name: Annotated[str | None, Field(alias="long-name", min_length=2)] = None


WITH_EVERYTHING = Kinds({**BUILT_IN.policies, "everything": Everything, "tree": Tree}, BUILT_IN.authenticators)
WRITTEN: list[tuple[str, bool]] = [
    ("", True),
    ("wait: 5", True),
    ("wait: PT5S", True),
    ("own_wait: 5s", True),
    ("own_wait: 5", False),
    ("rate: '${RATE:=5/s}'", True),
    ("day: 2026-11-25", True),
    ("price: 1.5", True),
    ("price: '1.5'", True),
    ("colour: blue", True),
    ("colour: green", False),
    ("level: 1", True),
    ("level: 2", False),
    ("names: [a, a]", True),
    ("names: [1]", False),
    ("pair: [1, true]", True),
    ("pair: ['1', 'off']", True),
    ("pair: [1, 2, 3]", False),
    ("counts: {a: 1, b: '2', c: '${C:=3}'}", True),
    ("counts: {a: b}", False),
    ("figure: {shape: square, side: 4}", True),
    ("figure: {shape: square, side: 3}", False),
    ("figure: {shape: '${SHAPE:=square}', side: 4}", True),
    ("figure: {shape: star}", False),
    ("either: [a, '${A:=b}']", True),
    ("either: '7'", True),
    ("either: {}", False),
    ("tree: {name: a, below: [{name: b, below: [{name: c}]}]}", True),
    ("tree: {name: a, below: [{name: b, below: [{nam: c}]}]}", False),
    ("anything: {a: [1, {b: }]}", True),
    ("long-name: ab", True),
    ("long-name: a", False),
    ("long_name: ab", False),
    ("nothing: 1", False),
]


def using(settings: str) -> str:
    return SMALL.replace("authenticate: none", f"authenticate: none, policies: [{{use: everything, {settings}}}]")


def loads(text: str) -> bool:
    try:
        return bool(load_text(text, kinds=WITH_EVERYTHING))
    except InvalidConfig:
        return False


@pytest.mark.parametrize(("settings", "fine"), WRITTEN)
def test_what_a_kind_takes_is_accepted_and_what_it_refuses_is_refused(settings: str, fine: bool) -> None:
    text = using(settings)
    assert (loads(text), refusals(text, WITH_EVERYTHING) == []) == (fine, fine)


def test_a_kind_that_holds_itself_stands_in_the_schema_once() -> None:
    schema = gateway_schema(WITH_EVERYTHING)
    Draft202012Validator.check_schema(schema)
    text = SMALL.replace(
        "authenticate: none", "authenticate: none, policies: [{use: tree, name: a, below: [{name: b}]}]"
    )
    assert refusals(text, WITH_EVERYTHING) == []
    assert refusals(text.replace("name: b", "nam: b"), WITH_EVERYTHING) != []


def test_defaults_and_descriptions_are_the_authors_own() -> None:
    kind = gateway_schema(WITH_EVERYTHING)["$defs"]["policy.everything"]
    keys = kind["properties"]
    assert kind["description"] == "All sorts."
    assert keys["wait"]["description"] == "How long."
    assert {name: keys[name].get("default", "none") for name in keys if name != "use"} == {
        "wait": "90s", "own_wait": "2h", "rate": "5/minute", "upstream": "a:1", "day": "none", "price": "none",
        "colour": "red", "level": 1, "names": ["a"], "pair": [1, True], "counts": {}, "figure": "none", "either": 3,
        "tree": "none", "anything": "none", "unsayable": "none", "long-name": "none",
    }  # fmt: skip


def test_a_kind_that_is_a_variable_may_have_anything_beside_it() -> None:
    text = SMALL.replace("authenticate: none", "authenticate: none, policies: [{use: '${KIND}', any: [1]}]")
    assert refusals(text) == []


def test_a_kind_of_authentication_stands_beside_the_others() -> None:
    kinds = Kinds(BUILT_IN.policies, {**BUILT_IN.authenticators, "square": Square})
    method = gateway_schema(kinds)["$defs"]["authentication"]["properties"]
    assert sorted(method) == ["api_key", "client_certificate", "jwt", "square"]
    assert refusals(SMALL + "authentication: {a: {square: {side: 2}}}\n", kinds) == []
    assert refusals(SMALL + "authentication: {a: {square: }}\n", kinds) != []
