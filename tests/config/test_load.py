"""A good file loads; what it is becomes its revision; nothing in it can crash the loader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
from pydantic import AfterValidator

from extproc.config.load import DECIDING, Kinds, load
from extproc.config.model import Config
from extproc.config.settings import HostPort, Rate, Settings
from extproc.core.errors import InvalidMutation
from extproc.core.problems import InvalidConfig
from extproc.plugins.registry import built_in, discover
from extproc.policies.api_key import ApiKeySettings
from extproc.policies.jwt import JwtSettings
from extproc.policies.transform import TransformSettings
from tests.config.gateways import NO_VARIABLES, SMALL, load_text, loads_or_tells, messages_of, problems_of

ROOT: Final = Path(__file__).parents[2]
JWKS: Final = {"JWKS_FILE": str(ROOT / "envoy" / "jwks.json")}
DEMO: Final = ROOT / "compose" / "demo"
SHOP: Final = (DEMO / "gateway.yaml").read_text(encoding="utf-8")
REGISTRY: Final = discover(DEMO)
KINDS: Final = REGISTRY.settings


def shop(text: str = SHOP, environment: Mapping[str, str] = NO_VARIABLES) -> Config:
    return load_text(text, {**JWKS, **environment}, KINDS).config


def revision(text: str = SHOP, environment: Mapping[str, str] = NO_VARIABLES) -> str:
    return load_text(text, {**JWKS, **environment}, KINDS).revision


def test_the_demo_loads_with_everything_that_it_says() -> None:
    config = shop()
    assert [route.name for route in config.routes] == [
        "users-v2",
        "orders-v1",
        "recommend",
        "echo",
        "status",
        "users-v1",
        "home",
        "chat",
    ]
    assert config.listeners[0].address == HostPort("0.0.0.0", 8080)
    assert config.tiers["free"].rate == Rate(10, 1)
    assert config.defaults.body_limit == 1024 * 1024
    assert config.defaults.timeout == timedelta(seconds=15)
    assert config.defaults.authenticate == ["company", "partners"]
    assert config.routes[1].authenticate == ["company"]
    assert config.routes[4].authenticate == []
    assert config.sidecar.folder == "/run/extproc"


def test_the_settings_of_every_plugin_are_there_by_their_path() -> None:
    settings = load_text(SHOP, JWKS, KINDS).settings
    assert {path: type(item) for path, item in settings.items()} == {
        ("authentication", "company", "jwt"): JwtSettings,
        ("authentication", "partners", "api_key"): ApiKeySettings,
        ("routes", 1, "policies", 0, "use"): TransformSettings,
        ("routes", 3, "policies", 0, "use"): REGISTRY.policies["block_agents"].Settings,
    }


def test_policies_of_the_defaults_have_settings_too() -> None:
    text = SMALL + "defaults: {policies: [{use: transform, response: {}}, {use: transform, response: {}}]}\n"
    assert list(load_text(text).settings) == [
        ("defaults", "policies", 0, "use"),
        ("defaults", "policies", 1, "use"),
    ]


def test_what_is_not_written_has_safe_defaults() -> None:
    config = load_text(SMALL).config
    assert (config.envoy.admin.host, config.sidecar.admin.host) == ("127.0.0.1", "127.0.0.1")
    assert config.sidecar.timeout == timedelta(milliseconds=500)
    assert config.upstreams["users"].retries == 0
    assert config.listeners[0].trusted_proxies.hops == 0


def test_nothing_of_a_loaded_file_can_be_changed() -> None:
    config = load_text(SMALL).config
    with pytest.raises(ValueError, match="frozen"):
        setattr(config.routes[0], "name", "other")  # noqa: B010 - a plain assignment is refused by mypy already


def test_a_problem_found_later_is_placed_in_the_file_too() -> None:
    problem = load_text(SMALL).problem(("routes", 0, "upstream"), "is gone", "write another")
    assert str(problem) == "gateway.yaml:3:54: routes[0].upstream: is gone (write another)"


@pytest.mark.parametrize(
    "written",
    ["0.29", "0.01", "99.99", "33.33", "66.67", "14.3", "57.57", "1.1"],
)
def test_a_weight_in_hundredths_is_taken_whatever_its_binary_fraction(written: str) -> None:
    rest = f"{100 - float(written):.2f}"
    versions = f"{{v1: {{upstream: users, weight: {written}}}, v2: {{upstream: users, weight: {rest}}}}}"
    load_text(SMALL + f"models: {{m: {{versions: {versions}}}}}\n")


def test_the_same_file_has_the_same_revision() -> None:
    assert revision() == revision()
    assert len(revision()) == 16


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("users:9101", "10.0.0.7:80"),
        ("0.0.0.0:8080", "0.0.0.0:9090"),
        ("concurrency: 2", "concurrency: 4"),
        ("127.0.0.1:9900", "127.0.0.1:9902"),
        ("/run/extproc", "/tmp/extproc"),
        ("keys.yaml", "other.yaml"),
        ("timeout: 5s, retries: 2", "timeout: 7s, retries: 3"),
        ("# The demo", "# A demo"),
        ("  - name: status\n    match:", "  - name: status\n\n    match:"),
    ],
)
def test_where_things_run_does_not_change_the_revision(was: str, becomes: str) -> None:
    assert was in SHOP
    assert revision(SHOP.replace(was, becomes)) == revision()


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("rate: 10/s, burst: 10", "rate: 10/s, burst: 11"),
        ("rate: 50/s", "rate: 51/s"),
        ("weight: 90}", "weight: 80}"),
        ("header: x-api-key", "header: x-key"),
        ("timeout: 15s", "timeout: 16s"),
        ("authenticate: none", "authenticate: company"),
        ('"orders:read"', '"orders:write"'),
        ("'\"true\"'", "'\"yes\"'"),
        ("name: echo", "name: echoes"),
    ],
)
def test_what_decides_about_requests_changes_the_revision(was: str, becomes: str) -> None:
    assert was in SHOP
    text = SHOP.replace(was, becomes).replace("weight: 10}", "weight: 20}" if "80}" in becomes else "weight: 10}")
    assert revision(text) != revision()


def test_the_order_of_routes_decides() -> None:
    head, routes = SMALL.split("routes: [")
    other = routes.replace("name: users", "name: others").rstrip("]\n")
    own = routes.rstrip("]\n")
    assert revision(f"{head}routes: [{own}, {other}]") != revision(f"{head}routes: [{other}, {own}]")


def test_every_block_that_decides_is_a_block_of_the_file() -> None:
    assert set(DECIDING) <= set(Config.model_fields)


def test_an_environment_variable_in_what_decides_changes_the_revision() -> None:
    text = SHOP.replace("rate: 50/s", 'rate: "${RATE:=50/s}"')
    assert revision(text) == revision()
    assert revision(text, {"RATE": "51/s"}) != revision()


NOBODY_SAID = "routes[0]: nothing says who may call this route"


@pytest.mark.parametrize(
    ("own", "default"),
    [("", ""), ("authenticate: null", ""), ("authenticate: ", ""), ("", "authenticate: null"), ("authenticate: ~", "")],
)
def test_an_empty_word_never_opens_a_route(own: str, default: str) -> None:
    text = SMALL.replace("authenticate: none", own) + (f"defaults: {{{default}}}\n" if default else "")
    assert messages_of(text) == [NOBODY_SAID]


def test_an_empty_word_leaves_the_defaults_in_force() -> None:
    text = SMALL.replace("authenticate: none", "authenticate: null") + (
        "defaults: {authenticate: partners}\nauthentication: {partners: {api_key: {}}}\n"
    )
    route = load_text(text).config.routes[0]
    assert route.authenticate is None


def test_an_empty_word_beside_a_default_of_nobody_is_nobody() -> None:
    text = SMALL.replace("authenticate: none", "authenticate: null, limits: [{per: consumer, rate: 1/s}]")
    assert messages_of(text + "defaults: {authenticate: none}\n") == [
        "routes[0].limits[0]: a limit per consumer needs a consumer, and nobody is asked who they are"
    ]


def test_problems_in_one_place_have_one_order() -> None:
    text = SMALL + "authentication: {company: {jwt: }}\n"
    assert messages_of(text) == [
        "authentication.company.jwt.audiences: is missing",
        "authentication.company.jwt.issuer: is missing",
    ]


def test_a_default_limit_without_tiers_is_told_once_and_not_for_every_route() -> None:
    text = SHOP.replace("tiers:\n  free: {rate: 10/s, burst: 10}\n  premium: {rate: 100/s, burst: 200}\n", "")
    text = re.sub(r"    pin: .*\n", "", text)  # which names a tier as well
    paths = [problem.path for problem in problems_of(text, JWKS, KINDS)]
    assert paths == ["defaults.limits[0]", "routes[7].limits[0]"]  # of which the second is the chat's own


@pytest.mark.parametrize("key", ["[key]", "#duplicate", "", "0", "a.b", "é", "use"])
def test_a_key_of_any_spelling_is_told_by_its_own_name(key: str) -> None:
    (problem,) = problems_of(SMALL + f"'{key}': 1\n")
    assert (problem.line, problem.column, problem.path) == (4, 1, key)
    assert problem.message == f"unknown key {key!r}"


def test_an_entry_named_as_a_key_of_its_model_still_gets_the_right_suggestion() -> None:
    text = SMALL + "tiers: {rate: {rate: 1/s, brst: 2}}\n"
    (problem,) = problems_of(text)
    assert problem.hint == "did you mean burst?"


def _never(value: str) -> str:
    raise InvalidMutation("this may not be")


class Fragile(Settings):
    text: Annotated[str, AfterValidator(_never)]


def test_a_plugin_whose_settings_raise_an_error_of_ours_is_a_problem_of_the_file() -> None:
    text = SMALL.replace("authenticate: none", "authenticate: none, policies: [{use: fragile, text: a}]")
    with pytest.raises(InvalidConfig) as caught:
        load(Path("gateway.yaml"), NO_VARIABLES, Kinds({"fragile": Fragile}, {}), text)
    assert [str(problem) for problem in caught.value.problems] == [
        "gateway.yaml:3:102: routes[0].policies[0]: this may not be"
    ]


ODD: Final[list[Any]] = ["3", "null", "[]", "{}", "''", "[null]", "[3]", "[[]]", "[{}]", "{3: 3}", "{a: null}", "true"]
BLOCKS: Final = sorted(Config.model_fields)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_any_odd_value_loads_or_is_told(block: str, odd: str) -> None:
    text = "".join(line + "\n" for line in SMALL.splitlines() if not line.startswith(block)) + f"{block}: {odd}\n"
    assert loads_or_tells(text)


@pytest.mark.parametrize("folder", ["here", "there"])
def test_where_a_file_is_kept_is_not_part_of_the_revision(tmp_path: Path, folder: str) -> None:
    """A bootstrap that was rendered on a laptop must fit the sidecar that serves in a container."""
    (tmp_path / folder).mkdir()
    for place in (tmp_path / folder, tmp_path):
        (place / "keys.json").write_text("{}")
    text = (
        "listeners: [{name: public, address: '0.0.0.0:8080'}]\n"
        "upstreams: {api: {endpoints: ['127.0.0.1:9000']}}\n"
        "authentication: {company: {jwt: {issuer: i, audiences: [a], jwks: '${JWKS:=keys.json}'}}}\n"
        "routes: [{name: r, match: {path: /}, upstream: api, authenticate: company}]\n"
    )
    kinds = built_in().settings
    revisions = {
        load(tmp_path / "gateway.yaml", environment, kinds, text).revision
        for environment in ({}, {"JWKS": str(tmp_path / folder / "keys.json")})
    }
    assert len(revisions) == 1
