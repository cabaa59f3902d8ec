"""What a file says of models, as it is meant, and what it costs a route."""

from __future__ import annotations

from typing import Final

import pytest

from extproc.core.models import Cohort, Compare, Fallback, NamedBy, Pin, Shadow
from extproc.core.problems import InvalidConfig
from extproc.core.specs import CHOOSE, ChooseSpec, ModelsSpec, Version
from extproc.plan.model import Plan, RoutePlan, ToModel, ours_of
from extproc.plan.times import try_time, whole_time
from tests.plan.gateways import HEAD, plan_of

MODELS: Final = HEAD.replace(
    "models:",
    """\
models:
  chat:
    sticky: cookie:chat
    salt: spring
    aliases: ["shop/chat"]
    allow: [free, premium]
    versions: {v1: {upstream: users, weight: 100}, v2: {upstream: orders, weight: 0, allow: [premium]}}
    pin: {tiers: [premium]}
    rules: [{when: 'consumer.tier == "free"', version: v1}]
    shadow: {version: v2, percent: 0.01}
    fallback: {to: v1, timeout: 2s}""",
)
COMPARED: Final = MODELS.replace("percent: 0.01", "percent: 1, compare: {fields: {label: response.json.label}}")
WHO: Final = "authenticate: partners"


def plan(*routes: str, head: str = MODELS) -> Plan:
    return plan_of(*(f"{route}, {WHO}" for route in routes), head=head)


def route(text: str, head: str = MODELS) -> RoutePlan:
    return plan(text, head=head).routes[0]


def spec(made: RoutePlan) -> ModelsSpec:
    (found,) = [policy.settings for policy in made.policies if policy.kind == CHOOSE]
    assert isinstance(found, ModelsSpec)
    assert isinstance(made.target, ToModel)
    assert made.target.spec == found
    return found


def test_all_that_a_model_says_is_meant() -> None:
    assert plan("model: chat").models["chat"] == ChooseSpec(
        "chat",
        (Version("v1", "users", 10_000), Version("v2", "orders", 0, ("premium",))),
        "cookie:chat",
        salt="spring",
        pin=Pin("x-model-version", ("premium",)),
        rules=(Cohort('consumer.tier == "free"', "v1"),),
        aliases=("shop/chat",),
        tiers=("free", "premium"),
        shadow=Shadow("v2", 1),
        fallback=Fallback(("v1",), 1, 20, 2.0),
    )
    assert plan("model: chat", head=COMPARED).models["chat"].shadow == Shadow(
        "v2", 100, Compare((("label", "response.json.label"),), 5.0)
    )


@pytest.mark.parametrize(
    ("use", "models", "by", "of", "otherwise"),
    [
        ("chat", ["chat"], NamedBy.ROUTE, "", ""),
        ("shop/chat", ["chat"], NamedBy.ROUTE, "", ""),
        ("{is: recommend}", ["recommend"], NamedBy.ROUTE, "", ""),
        ("{from: body}", ["chat", "recommend"], NamedBy.BODY, "", ""),
        ("{from: 'header:x-model', of: [recommend]}", ["recommend"], NamedBy.HEADER, "x-model", ""),
        ("{from: body, of: [recommend], default: shop/chat}", ["recommend", "chat"], NamedBy.BODY, "", "chat"),
        ("{from: body, of: [shop/chat, chat]}", ["chat"], NamedBy.BODY, "", ""),
    ],
)
def test_a_route_leads_to_the_models_that_it_names(
    use: str, models: list[str], by: NamedBy, of: str, otherwise: str
) -> None:
    found = spec(route(f"model: {use}"))
    assert [model.model for model in found.models] == models
    assert (found.named_by, found.of, found.otherwise) == (by, of, otherwise)


def test_a_path_template_is_kept_with_its_colon() -> None:
    found = spec(route("match: {path_prefix: /m}, model: {from: 'path:/m/{model}/predict'}"))
    assert (found.named_by, found.of) == (NamedBy.PATH, "/m/{model}/predict")


@pytest.mark.parametrize(
    ("use", "head", "shows"),
    [
        ("chat", MODELS, False),
        ("{from: 'header:x-model'}", MODELS, False),
        ("{from: body}", MODELS, True),
        ("chat", COMPARED, True),
        ("recommend", COMPARED, False),
    ],
)
def test_the_call_shows_the_body_where_somebody_reads_it(use: str, head: str, shows: bool) -> None:
    made = route(f"model: {use}", head)
    assert made.placement.asks_with_body is shows
    assert made.placement.filters == (("ext_authz with bodies",) if shows else ("ext_authz",))
    assert made.placement.calls == 1


def test_headers_about_versions_are_for_the_gateway_alone() -> None:
    target = route("model: chat").target
    assert isinstance(target, ToModel)
    assert ours_of(target) == ("x-extproc-cluster", "x-extproc-shadow", "x-model-version")


REFUSED: Final = [
    ("model: {from: body}, body_limit: 4MiB", MODELS, "shown in one message"),
    ("model: chat, body_limit: 4MiB", COMPARED, "shown in one message"),
    ("model: chat, stream: true", COMPARED, "an answer may never end"),
    (
        "model: chat, policies: [{use: transform, request: {json: {set: {a: request.path}}}}]",
        COMPARED,
        "edits requests",
    ),
    ("model: chat, timeout: 2s", MODELS, "waits as long as route route-0 may take"),
]


@pytest.mark.parametrize(("text", "head", "said"), REFUSED)
def test_what_would_not_work_is_told_at_the_route(text: str, head: str, said: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        route(text, head)
    (problem,) = caught.value.problems
    assert problem.path == "routes[0].model"
    assert said in problem.message


SLOW: Final = MODELS.replace('"127.0.0.1:9101"]', '"127.0.0.1:9101"], timeout: 1s')
TIMES: Final = [
    ("model: chat", MODELS, 2.0),
    ("model: chat, timeout: 9s", MODELS.replace(", timeout: 2s", ""), 4.5),
    ("model: chat, timeout: 9s", MODELS.replace("timeout: 2s", "tries: 2"), 3.0),
    ("model: chat, stream: true", MODELS, None),
    ("model: recommend", MODELS, None),
    ("model: chat", SLOW.replace(", timeout: 2s", ""), 1.0),
]


@pytest.mark.parametrize(("text", "head", "expected"), TIMES)
def test_how_long_a_version_may_take_before_another_is_asked(text: str, head: str, expected: float | None) -> None:
    made = plan(text, head=head)
    found = spec(made.routes[0])
    assert try_time(made, made.routes[0], found.models[0]) == expected


def test_with_a_fallback_an_upstreams_time_is_that_of_one_try() -> None:
    slow = HEAD.replace('"127.0.0.1:9101"]', '"127.0.0.1:9101"], timeout: 1s').replace('9102"]', '9102"], timeout: 1s')
    alone = plan_of("model: recommend, authenticate: none", head=slow)
    assert whole_time(alone, alone.routes[0]) == 1.0
    standing = plan_of(
        "model: recommend, authenticate: none", head=slow.replace("sticky: none,", "sticky: none, fallback: {to: v2},")
    )
    assert whole_time(standing, standing.routes[0]) == 15.0
