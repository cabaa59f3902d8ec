"""What models must agree on with the rest of a file, where a file of its own would need certificates or keys."""

from __future__ import annotations

from typing import Any, Final

import pytest

from extproc.config.choosing import check_models, models_of
from extproc.core.problems import spell_path

CREDENTIAL: Final = {"header": "authorization", "value": "Bearer x"}
VERSIONS: Final = {"v1": {"upstream": "one"}, "v2": {"upstream": "two"}}
COMPARED: Final = {"version": "v2", "percent": 1, "compare": {"fields": {"a": "response.status"}}}


def raw(model: dict[str, Any] | None = None, route: dict[str, Any] | None = None, **upstreams: Any) -> dict[str, Any]:
    return {
        "upstreams": {"one": {}, "two": {}, **upstreams},
        "authentication": {"partners": {"api_key": {}}},
        "models": {"m": {"versions": VERSIONS, **(model or {})}, "other": {"versions": VERSIONS, "aliases": ["alias"]}},
        "routes": [
            {"name": "r", "match": {"path_prefix": "/r"}, "authenticate": "partners", "model": "m", **(route or {})}
        ],
    }


def told(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(spell_path(finding.path), finding.message) for finding in check_models(data)]


@pytest.mark.parametrize("key", ["fallback", "shadow"])
def test_what_is_sent_twice_shows_one_upstream_the_others_credential(key: str) -> None:
    settings = {key: {"to": "v2"} if key == "fallback" else {"version": "v2", "percent": 1}}
    both = {"one": {"credential": CREDENTIAL}, "two": {"credential": CREDENTIAL}}
    assert told(raw(settings, **both)) == []
    assert [place for place, _ in told(raw(settings, one={"credential": CREDENTIAL}))] == [f"models.m.{key}"]
    differing = {**both, "two": {"credential": {**CREDENTIAL, "value": "Bearer y"}}}
    assert [place for place, _ in told(raw(settings, **differing))] == [f"models.m.{key}"]
    assert told(raw(**differing)) == []


@pytest.mark.parametrize("key", ["fallback", "shadow"])
def test_a_token_that_is_signed_for_one_version_is_not_sent_to_another(key: str) -> None:
    settings = {key: {"to": "v2"} if key == "fallback" else {"version": "v2", "percent": 1}}
    found = told(raw(settings, {"forward": "signed"}))
    said = f"m has a {key}: a token is signed for the version that was chosen, and another one would get it"
    assert found == [("routes[0].model", said)]
    assert told(raw({}, {"forward": "signed"})) == []


def test_an_upstream_behind_tls_is_not_asked_by_ourselves() -> None:
    (found,) = told(raw({"shadow": COMPARED}, two={"tls": {"san": "two.internal"}}))
    assert found == ("models.m.shadow.compare", "the upstream two is asked by TLS, which only Envoy does")
    copied = {key: value for key, value in COMPARED.items() if key != "compare"}
    assert told(raw({"shadow": copied}, two={"tls": {"san": "two.internal"}})) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("m", ["m"]),
        ("alias", ["other"]),
        ("nobody", []),
        ({"is": "m"}, ["m"]),
        ({"from": "body"}, ["m", "other"]),
        ({"from": "body", "of": ["alias"]}, ["other"]),
        ({"from": "body", "of": ["alias"], "default": "m"}, ["other", "m"]),
        ({"from": "body", "of": "m"}, []),
        (None, []),
        (7, []),
    ],
)
def test_which_models_a_route_may_lead_to(model: Any, expected: list[str]) -> None:
    assert models_of(raw(), {"model": model}) == expected


@pytest.mark.parametrize(
    "broken",
    [
        {"models": None},
        {"models": []},
        {"models": {"m": None}},
        {
            "models": {
                "m": {"versions": [], "rules": [7], "aliases": "a", "pin": 3, "shadow": [], "fallback": {"to": [None]}}
            }
        },
        {"routes": [{"model": {"from": 3, "of": {"a": 1}}}, None, {"model": []}]},
    ],
)
def test_whatever_is_written_nothing_raises(broken: dict[str, Any]) -> None:
    assert isinstance(check_models({**raw(), **broken}), list)
