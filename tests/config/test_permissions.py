"""What `authorize` and `forward` must agree on with the rest of a file, asked of raw data that no model has seen."""

from __future__ import annotations

from typing import Any, Final

import pytest

from extproc.config.expressions import asks_who
from extproc.config.permissions import OF_CONSUMERS, check_permissions
from extproc.core.problems import spell_path

OPEN: Final[dict[str, Any]] = {"name": "users", "upstream": "users", "authenticate": "none"}
GUARDED: Final[dict[str, Any]] = OPEN | {"authenticate": "partners"}


def told(route: dict[str, Any], **blocks: object) -> list[str]:
    found = check_permissions({"routes": [route], **blocks})
    return [f"{spell_path(finding.path)}: {finding.message}" for finding in found]


READS_A_CONSUMER: Final = [
    'consumer.tier == "free"',
    '"a" in consumer.groups',
    "has(consumer.claims.x)",
    'request.method == "GET" || consumer.id != ""',
    'consumer . id == "a"',
]
READS_NONE: Final = ["true", 'request.method == "GET"', 'request.path == "consumer.id"', 'route.name == "a"']


@pytest.mark.parametrize("condition", READS_A_CONSUMER)
@pytest.mark.parametrize("shape", ["{}", "rule", "list", "rules"])
def test_a_condition_that_reads_the_consumer_has_no_place_where_nobody_is_asked(condition: str, shape: str) -> None:
    assert asks_who(condition)
    written = {"{}": condition, "rule": {"when": condition}, "list": [condition], "rules": [{"when": condition}]}[shape]
    assert len(told(OPEN | {"authorize": written})) == 1
    assert told(GUARDED | {"authorize": written}) == []


@pytest.mark.parametrize("condition", READS_NONE)
def test_a_condition_about_the_request_may_stand_anywhere(condition: str) -> None:
    assert not asks_who(condition)
    assert told(OPEN | {"authorize": condition}) == []
    assert told(OPEN | {"authorize": [{"when": condition, "addresses": ["10.0.0.0/8"]}]}) == []


@pytest.mark.parametrize("part", OF_CONSUMERS)
def test_a_member_about_the_consumer_has_no_place_where_nobody_is_asked(part: str) -> None:
    rule = {part: ["free"], "addresses": ["10.0.0.0/8"]}
    place = f"routes[0].authorize[1].{part}"
    said = "a rule about the consumer, and nobody is asked who they are"
    assert told(OPEN | {"authorize": ["true", rule]}, tiers={"free": {}}) == [f"{place}: {said}"]
    assert told(OPEN, defaults={"authorize": rule}, tiers={"free": {}}) == [f"routes[0]: {said}"]
    assert told(OPEN | {"authorize": "true"}, defaults={"authorize": rule}, tiers={"free": {}}) == []


def test_tiers_are_those_of_the_file() -> None:
    assert told(GUARDED | {"authorize": {"tiers": ["free", "gold"]}}, tiers={"free": {}}) == [
        "routes[0].authorize.tiers[1]: there is no tier 'gold'"
    ]


def test_signing_needs_a_key_and_somebody_to_sign_for() -> None:
    keys = {"signing": {"keys": ["a.pem"]}}
    assert told(GUARDED | {"forward": "signed"}, sidecar=keys) == []
    assert told(OPEN, defaults={"forward": "signed"}, sidecar=keys) == []
    assert len(told(GUARDED | {"forward": "signed"})) == 1
    assert len(told(OPEN | {"forward": "signed"}, sidecar=keys)) == 1


@pytest.mark.parametrize("key", ["authorize", "forward", "authenticate"])
@pytest.mark.parametrize("odd", [3, [], {}, [[]], [3, None], {"tiers": 3}, [{"tiers": [3, []]}], {"when": 3}, "bad("])
def test_odd_data_is_survived(key: str, odd: object) -> None:
    assert isinstance(told(OPEN | {key: odd}, tiers=odd, sidecar=odd, defaults=odd), list)
