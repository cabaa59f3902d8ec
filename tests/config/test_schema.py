"""The JSON Schema of gateway files: it accepts what loads, and refuses what it can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regress
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from extproc.config.schema import gateway_schema
from extproc.config.source import parse
from extproc.core.problems import InvalidConfig
from extproc.core.problems import Path as Place
from extproc.plugins.registry import discover
from tests.certificates import write_folder
from tests.config.gateways import BUILT_IN, load_text
from tests.config.schemas import refusals, validator
from tests.config.whole_gateway import WHOLE, as_an_editor_reads, changed, scalars
from tests.docs.blocks import ROOT, blocks

FILES = sorted(
    [
        *ROOT.glob("envoy/*.gateway.yaml"),
        *ROOT.glob("tests/golden/*.gateway.yaml"),
        ROOT / "compose/demo/gateway.yaml",
        ROOT / "extproc/cli/scaffold/gateway.yaml",
    ]
)
README = [block.text for block in blocks(ROOT / "README.md") if block.language == "yaml"]
BAD = sorted(Path(__file__).with_name("bad").glob("*.yaml"))
# Not the schema's to see: what only two places of a file, the world outside it, or CEL can tell ...
BEYOND = {
    *("aggregate-that-takes-too-long", "merge-in-lines-of-a-body-that-is-read"),
    *("merge-that-does-not-say-which-part", "merge-that-marks-with-a-parts-name"),
    *("merge-that-names-no-part", "part-of-no-upstream", "part-that-names-no-part"),
    *("part-that-waits-for-itself", "part-with-a-condition-that-is-none"),
    *("part-with-a-path-that-is-none", "part-with-a-response-limit-beyond-a-message"),
    *("part-with-an-expression-that-is-none", "part-with-an-open-brace", "part-with-claims"),
    *("parts-seen-where-there-are-none", "parts-that-wait-for-each-other"),
    *("address-of-no-ipv6", "answer-that-asks-for-claims", "answer-that-asks-for-request-headers"),
    *("cel-about-a-response-to-come", "cel-in-a-policy", "cel-misspelt-variable", "cel-syntax"),
    *("cel-that-is-no-condition", "cel-two-misspelt-variables", "dangling-authentication"),
    *("dangling-authentication-in-a-list", "dangling-authentication-in-the-defaults", "dangling-model"),
    *("feedback-from-guests", "feedback-from-nobody", "feedback-that-no-model-takes"),
    *("dangling-upstream", "dangling-upstream-of-a-version", "default-limit-by-tier-for-nobody"),
    *("default-limit-by-tier-without-tiers", "duplicate-listener-name", "duplicate-route-name"),
    *("jwt-keys-without-tls", "jwt-with-a-secret-for-rs256", "jwt-with-an-empty-secret"),
    *("jwt-with-both-sorts-of-algorithms", "jwt-with-jwks-and-a-secret", "jwt-with-one-secret-for-two-algorithms"),
    "jwt-with-secrets-from-a-url",
    *("duration-of-millennia", "jwks-name-too-long", "keys-in-a-redis-of-no-host", "limit-by-tier-without-tiers"),
    *("limit-per-consumer-for-nobody", "match-on-a-credential-in-the-query"),
    *("login-that-nobody-comes-back-to", "login-with-a-short-secret"),
    *("logins-that-share-a-callback", "logins-that-share-a-cookie"),
    *("match-on-a-credential", "match-on-the-default-credential", "missing-jwks-file", "model-that-sticks-to-nobody"),
    *("model-alias-that-is-taken", "model-default-that-is-not-there", "model-fallback-to-what-is-not-for-everybody"),
    *("model-fallback-to-what-is-not-there", "model-fallback-with-anothers-credential"),
    *("model-for-a-tier-that-is-not-there", "model-for-tiers-where-nobody-has-one"),
    *("model-from-a-header-that-nobody-can-send", "model-from-a-path-that-is-elsewhere", "model-from-a-single-path"),
    *("model-of-none-that-is-there", "model-pin-of-a-tier-that-is-not-there", "model-pin-where-nobody-has-a-tier"),
    *("model-rule-about-nobody", "model-rule-that-does-not-compile", "model-rule-to-a-version-that-is-not-there"),
    *("model-shadow-finer-than-a-hundredth", "model-shadow-that-is-not-there"),
    *("version-for-a-tier-that-is-not-there",),
    *("open-route-chosen-by-a-header", "open-route-chosen-by-a-parameter"),
    *("quota-stream-of-half-seconds", "quota-stream-of-too-short-a-ttl", "shared-limit-and-no-quota-stream"),
    *("shared-limit-for-nobody", "shared-limit-for-the-anonymous", "shared-limit-of-too-small-a-burst"),
    *("shared-limit-per-address", "shared-limits-two-of-a-route", "shared-tier-of-too-small-a-burst"),
    *("shared-tier-beside-limits-of-callers-own", "shared-tier-with-a-quota"),
    *("redirect-to-an-impossible-port", "shared-admin-address", "shared-default-admin-address"),
    *("shared-listener-address", "socket-folder-too-long", "unset-environment-variable"),
    *("unset-environment-variable-as-a-name", "weight-finer-than-a-hundredth", "weight-that-is-no-number"),
    *("weights-that-are-not-100", "usage-kept-for-ever", "usage-of-half-an-hour", "usage-that-is-not-kept"),
    *("brown-out-that-ends-first", "change-of-what-is-gone", "change-onto-another", "change-out-of-a-list"),
    *("conversion-of-two-words-to-one", "open-route-chosen-by-a-media-type", "version-adapted-to-itself"),
    *("version-adapted-to-nothing-known", "version-gone-before-it-is-deprecated", "version-of-a-redirect-with-a-body"),
    *("version-on-no-day", "version-that-goes-on-with-no-route", "version-that-goes-on-with-nothing"),
    *("version-that-is-misspelt", "version-that-succeeds-itself", "version-with-a-successor-that-is-gone"),
    "version-with-an-unknown-successor",
    *("guard-on-scores-that-nobody-gives", "guard-that-compares-scores-that-nobody-gives"),
    *("candidate-that-is-no-version", "guard-by-the-millisecond", "guard-with-a-window-shorter-than-its-interval"),
    *("ramp-in-steps-finer-than-a-hundredth", "ramp-of-one-version", "ramp-that-shrinks"),
    *("rollouts-in-a-file-with-counters-in-a-redis", "rollouts-in-a-redis-with-counters-in-memory"),
    *("response-limit-beyond-a-message", "transform-by-a-schema-that-is-not-there", "transform-by-two-descriptions"),
    *("transform-of-a-request-by-its-answer", "transform-of-a-value-by-another"),
    *("transform-of-an-event-outside-of-events", "transform-of-headers-that-have-left"),
    *("basic-without-its-users", "hmac-of-a-header-in-capitals", "hmac-secret-that-is-no-base64"),
    *("hmac-secret-that-is-short", "hmac-that-is-good-too-long", "hmac-that-signs-no-path"),
    *("introspection-in-the-clear", "introspection-that-never-asks-again", "introspection-with-an-empty-secret"),
    *("match-on-a-signature",),
    *("condition-about-a-consumer-for-nobody", "match-on-an-upstream-credential"),
    *("rule-about-a-consumer-for-nobody", "rule-of-the-defaults-for-nobody"),
    *("rule-with-a-mapped-network", "rule-with-a-misspelt-variable", "rule-with-an-unknown-tier-in-the-defaults"),
    *(
        "rule-with-an-unknown-tier",
        "rule-with-host-bits-in-a-network",
        "signed-for-nobody",
        "signed-without-a-key-in-the-defaults",
    ),
    *("signed-without-a-key", "signing-for-a-fraction", "signing-for-an-hour", "upstream-credential-of-nothing"),
    *("upstream-credential-with-a-line-end",),
    *("burst-that-takes-months", "cost-of-a-response", "cost-with-a-misspelt-variable", "lease-of-a-fraction"),
    *("lease-of-two-days", "limit-per-a-misspelt-expression", "limit-per-claim-for-nobody", "quotas-beside-a-redis"),
    *("tier-quota-that-is-not-kept", "zone-of-nowhere"),
    *("client-certificate-that-no-listener-asks-for", "tls-file-that-is-not-there"),
    *("tls-file-without-a-certificate",),
    *("usage-kept-for-ever", "usage-of-half-an-hour", "usage-that-is-not-kept"),
    *("meter-and-settle", "meter-of-a-redirect", "meter-of-nothing"),
}
# ... and what is not YAML as we read it.
NOT_READ = {
    *("alias-bomb", "alias-of-itself", "alias-of-nothing", "comments-only", "duplicate-key"),
    *("duplicate-key-in-a-route", "empty", "list-as-a-key", "merge-key", "tab-indentation", "too-deep"),
    *("two-documents", "unclosed-bracket"),
}


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from schemas_in(member)


SCHEMA = gateway_schema(BUILT_IN)
KEYS = [
    (f"{name}: {key}", key, described)
    for name, definition in [("", SCHEMA), *SCHEMA["$defs"].items()]
    for key, described in definition.get("properties", {}).items()
]


def test_it_is_a_json_schema_of_the_draft_that_it_names() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert (SCHEMA["$id"], SCHEMA["title"]) == ("urn:extproc:gateway", "extproc gateway")


def test_every_pattern_is_one_for_an_editors_javascript_too() -> None:
    patterns = {schema["pattern"] for schema in schemas_in(SCHEMA) if isinstance(schema.get("pattern"), str)}
    assert len(patterns) > 15
    for pattern in patterns:
        regress.Regex(pattern, "u")


@pytest.mark.parametrize(("key", "described"), [key[1:] for key in KEYS], ids=[key[0] for key in KEYS])
def test_every_key_is_described_in_sentences(key: str, described: dict[str, Any]) -> None:
    if key in BUILT_IN.authenticators:  # an authentication's kind, which its own settings describe
        described = SCHEMA["$defs"][f"authentication.{key}"]
    assert re.fullmatch(r"(?s).{8,}[.:]", described.get("description", ""))
    assert "\n" not in described["description"]


def test_no_class_of_ours_and_no_python_shows() -> None:
    shown = [schema[word] for schema in schemas_in(SCHEMA) for word in ("title", "$ref") if word in schema]
    assert not [text for text in [*shown, *SCHEMA["$defs"]] if isinstance(text, str) and re.search(r"[a-z][A-Z]", text)]
    assert not re.search(r"pydantic|datetime|timedelta|Settings|dict\[|None", str(SCHEMA["properties"]))


def test_defaults_are_spelled_as_in_a_file() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["gateway.sidecar"]["properties"]["timeout"]["default"] == "500ms"
    assert definitions["gateway.envoy-settings"]["properties"]["admin"]["default"] == "127.0.0.1:9901"
    assert definitions["gateway.upstream"]["properties"]["connect_timeout"]["default"] == "2s"
    assert definitions["authentication.api_key"]["properties"]["header"]["default"] == "x-api-key"
    for schema in schemas_in(definitions):
        if isinstance(schema.get("properties"), dict):
            for key, member in schema["properties"].items():
                if isinstance(member, dict) and "default" in member:
                    own = Draft202012Validator({**member, "$defs": definitions})
                    assert own.is_valid(member["default"]), key


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_gateway_of_the_repository_is_accepted(file: Path) -> None:
    assert refusals(file.read_text("utf-8"), discover(file.parent).settings) == []


@pytest.mark.parametrize("text", README)
def test_the_gateway_of_the_readme_is_accepted(text: str) -> None:
    assert refusals(text) == []


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_file_is_refused_unless_the_schema_cannot_see_why(file: Path) -> None:
    text = file.read_text("utf-8")
    read = parse(text, lambda scalar: scalar)
    assert bool(not read.readable or read.findings) == (file.stem in NOT_READ)
    if file.stem not in NOT_READ:
        assert bool(refusals(text)) == (file.stem not in BEYOND)


def test_no_bad_file_is_excused_that_is_gone() -> None:
    assert {file.stem for file in BAD} >= BEYOND | NOT_READ


@pytest.fixture(scope="module", autouse=True)
def _a_folder_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("gateway")
        (folder / "jwks.json").write_text("{}")
        write_folder(folder / "tls")
        patched.chdir(folder)
        yield


def loads(text: str) -> bool:
    try:
        return bool(load_text(text))
    except InvalidConfig:
        return False


ROUTE = {"name": "a", "match": {"path": "/a"}, "upstream": "users"}
NOT_PUBLIC = {**ROUTE, "authenticate": "partners"}
SHORT_FORMS: list[tuple[Place, Any, bool]] = [
    (("routes", 1, "authenticate"), "none", True),
    (("routes", 1, "authenticate"), "partners", True),
    (("routes", 1, "authenticate"), ["partners", "company"], True),
    (("routes", 1, "authenticate"), None, True),
    (("routes", 1, "authenticate"), [], False),
    (("routes", 1, "authenticate"), 5, False),
    (("routes", 0, "limits"), ["tier"], True),
    (("routes", 0, "limits"), [{"per": "tier"}], True),
    (("routes", 0, "limits"), ["tier", {"per": "route", "rate": "1/s"}], True),
    (("routes", 0, "limits"), [], True),
    (("routes", 0, "limits"), None, True),
    (("routes", 0, "limits"), "tier", False),
    (("routes", 0, "limits"), ["consumer"], False),
    (("routes", 0, "match", "headers", "x-a"), "present", True),
    (("routes", 0, "match", "headers", "x-a"), 1, True),
    (("routes", 0, "match", "headers", "x-a"), 1.5, True),
    (("routes", 0, "match", "headers", "x-a"), {"exact": "1", "prefix": None}, True),
    (("routes", 0, "match", "headers", "x-a"), {}, False),
    (("routes", 0, "match", "headers", "x-a"), None, False),
    (("routes", 0, "match", "headers", "x-a"), {"exact": 1}, False),
    (("routes", 0, "body_limit"), 512, True),
    (("routes", 0, "body_limit"), "512", True),
    (("routes", 0, "body_limit"), "64MiB", True),
    (("authentication", "others", "api_key"), None, True),
    (("authentication", "others", "api_key"), {}, True),
    (("authentication", "company", "jwt"), None, False),
    (("authentication", "others"), None, False),
    (("upstreams", "users", "outlier_detection"), "on", True),
    (("upstreams", "users", "retries"), "3", True),
    (("upstreams", "users", "tls", "san"), "users.internal", True),
    (("upstreams", "users", "tls", "san"), "10.0.0.7", True),
    (("upstreams", "users", "tls", "san"), "::1", True),
    (("upstreams", "users", "tls", "san"), [], False),
    (("upstreams", "users", "tls", "san"), ["a b"], False),
    (("upstreams", "users", "tls", "san"), "*.internal", False),
    (("upstreams", "users", "tls", "key"), None, False),
    (("listeners", 1, "tls", "key"), None, False),
    (("listeners", 1, "tls", "client_ca"), None, False),
    (("listeners", 2, "tls", "certificate"), "tls/server.crt", False),
    (("listeners", 2, "tls", "certificates"), [], False),
    (("listeners", 2, "tls"), {}, False),
    (("upstreams", "users", "retries"), 3.0, True),
    (("models", "score", "versions"), {}, False),
    (("defaults",), {}, False),  # nobody says who may call two of the routes
    (("routes",), [NOT_PUBLIC], True),
]


@pytest.mark.parametrize(("place", "written", "fine"), SHORT_FORMS, ids=str)
def test_short_forms_are_accepted_as_they_load(place: Place, written: Any, fine: bool) -> None:
    text = changed(as_an_editor_reads(WHOLE), place, written)
    assert (loads(text), refusals(text) == []) == (fine, fine)


BASE = as_an_editor_reads(WHOLE)
PLACES = list(scalars(BASE))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_every_value_may_come_from_the_environment(place: Place) -> None:
    value = BASE
    for part in place:
        value = value[part]
    default = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = changed(BASE, place, f"${{X:={default}}}")
    assert loads(text), place
    assert refusals(text) == []


@pytest.mark.parametrize("written", ["${X", "${1}", "${X:-a}", "${}"])
def test_a_misspelt_reference_is_refused_in_any_text(written: str) -> None:
    for place in (
        ("routes", 0, "upstream"),
        ("routes", 0, "name"),
        ("envoy", "concurrency"),
        ("tiers", "free", "rate"),
    ):
        text = changed(BASE, place, written)
        assert not loads(text)
        assert refusals(text) != []


VALUES = [
    *(None, True, False, 0, 1, 2, -1, 100, 1.0, 0.5, 99.5, "", "1", "2.0", " 1 ", "1_0", "1e1", "yes", "off", "TRUE"),
    *("none", "tier", "present", "consumer", "memory", "GET", "/x", "*", "10/s", "0010/hour", "1000000000/d", "0/s"),
    *("30s", "0s", "1d", "64KiB", "0", "512B", "67108864", "127.0.0.1:80", "[::1]:80", "a:00080", "a:65535", "a:65536"),
    *("unix:/a", "file:", "logical", "random", "x-a", "partners", "users", "header:x", "score", "https://a/x", 308),
    *("308", "${X:=}", "${X:=1}", "a${X:=b}${Y:=}", "$", "${X", "true", "jwks.json", "a\n", [], {}, ["a"], {"a": 1}),
]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(VALUES))
def test_what_loads_is_accepted_whatever_stands_where(place: Place, value: Any) -> None:
    text = changed(BASE, place, value)
    if not validator().is_valid(as_an_editor_reads(text)):
        # Pydantic takes true for 1, and 1 for true: an editor may well call that a mistake.
        lenient = isinstance(value, bool) or (place[-1] == "present" and value == 1)
        assert lenient or not loads(text), refusals(text)
