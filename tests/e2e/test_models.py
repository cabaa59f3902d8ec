"""Models through the real Envoy: which one a request asks for, which version answers, and what nobody can forge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.clients import Field, Reply
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import HEAD, RunningGateway
from tests.e2e.upstreams import Answer, Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY: Final = (
    HEAD
    + """
tiers: {free: {rate: 1000000/s}, premium: {rate: 1000000/s}}
upstreams:
  one: {endpoints: ["${ONE}"]}
  two: {endpoints: ["${TWO}"]}
  three: {endpoints: ["${THREE}"]}
models:
  recommend:
    aliases: [rec, "shop/recommend:latest"]
    versions:
      v1: {upstream: one, weight: 100}
      v2: {upstream: two, weight: 0}
      v3: {upstream: three, weight: 0, allow: [free]}
    pin: {tiers: [premium]}
    rules:
      - {when: '"beta" in consumer.scopes', version: v2}
  visits:
    versions: {v1: {upstream: one, weight: 50}, v2: {upstream: two, weight: 50}}
    sticky: cookie:visit
  inner:
    versions: {v1: {upstream: three, weight: 100}}
    allow: [premium]
    sticky: none
defaults: {authenticate: [company, partners]}
routes:
  - {name: recommend, match: {path: /recommend}, model: recommend}
  - {name: visits, match: {path: /visits}, model: visits, authenticate: none}
  - {name: body, match: {path: /body}, model: {from: body}, body_limit: 100KiB}
  - {name: header, match: {path: /header}, model: {from: "header:x-model", of: [rec, inner], default: rec}}
  - {name: path, match: {path_prefix: /models}, model: {from: "path:/models/{model}/predict"}}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with started("one", "two", "three") as found:
        yield {upstream.name: upstream for upstream in found}


@pytest.fixture(scope="module")
def gateway(upstreams: dict[str, Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, list(upstreams.values())) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: dict[str, Upstream]) -> None:
    for upstream in upstreams.values():
        upstream.clear()
        upstream.answers.clear()


def answered_by(answer: Reply) -> str:
    assert answer.status == 200, answer
    return str(answer.json()["upstream"])


def refused(answer: Reply) -> tuple[int, str]:
    return answer.status, answer.reason


PINS: Final = [
    ("nothing", PREMIUM, (), "one", "consumer"),
    ("a pin", PREMIUM, (("x-model-version", "v2"),), "two", "pin"),
    ("a pin of a tier that may not", FREE, (("x-model-version", "v2"),), "one", "consumer"),
    ("a rule", bearer("c-7", scope="beta"), (), "two", "rules[0]"),
    (
        "forged headers",
        FREE,
        (("x-extproc-cluster", "upstream.two"), ("x-extproc-shadow", "recommend")),
        "one",
        "consumer",
    ),
    ("a forged identity", FREE, (("x-consumer-tier", "premium"), ("x-model-version", "v2")), "one", "consumer"),
]


@pytest.mark.parametrize(("case", "caller", "fields", "upstream", "why"), PINS)
def test_who_answers_is_the_gateways_to_say(
    gateway: RunningGateway,
    upstreams: dict[str, Upstream],
    case: str,
    caller: Field,
    fields: tuple[Field, ...],
    upstream: str,
    why: str,
) -> None:
    answer = gateway.client.get("/recommend", caller, *fields)
    assert answered_by(answer) == upstream
    assert answer.header("x-model-version") == {"one": "v1", "two": "v2"}[upstream]
    received = upstreams[upstream].only()
    assert [name for name, _ in received.fields if name.lower().startswith(("x-extproc-", "x-model-"))] == []
    facts = gateway.decision(answer.id)["facts"]
    assert (facts["model"], facts["version"], facts["chosen_by"]) == (
        "recommend",
        answer.header("x-model-version"),
        why,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((("x-model-version", "v9"),), (400, "unknown_version")),
        ((("x-model-version", "v1"), ("x-model-version", "v2")), (400, "unknown_version")),
        ((("x-model-version", "v3"),), (403, "version_not_allowed")),
    ],
)
def test_a_pin_that_cannot_be_kept_is_told(
    gateway: RunningGateway, fields: tuple[Field, ...], expected: tuple[int, str]
) -> None:
    assert refused(gateway.client.get("/recommend", PREMIUM, *fields)) == expected


def test_who_has_no_cookie_is_given_one_and_keeps_its_version(
    gateway: RunningGateway, upstreams: dict[str, Upstream]
) -> None:
    for upstream in upstreams.values():
        upstream.answers["/visits"] = Answer(
            fields=(("content-type", "application/json"), ("set-cookie", "session=own; Path=/")),
            body=json.dumps({"upstream": upstream.name}).encode(),
        )
    versions = set[str]()
    for _ in range(12):
        first = gateway.client.get("/visits")
        own, given = first.all("set-cookie")
        if own.startswith("visit="):
            own, given = given, own
        assert own == "session=own; Path=/"
        pair, *attributes = given.split("; ")
        assert attributes == ["Path=/", "Max-Age=31536000", "HttpOnly", "SameSite=Lax"]
        versions.add(str(first.header("x-model-version")))
        for _ in range(3):
            again = gateway.client.get("/visits", ("cookie", f"other=1; {pair}"))
            assert again.header("x-model-version") == first.header("x-model-version")
            assert again.all("set-cookie") == ["session=own; Path=/"]
    assert versions == {"v1", "v2"}


def test_a_forged_cookie_is_drawn_for_as_any_other(gateway: RunningGateway) -> None:
    drawn = [gateway.client.get("/visits", ("cookie", f"visit={number}")) for number in range(20)]
    assert {answer.header("x-model-version") for answer in drawn} == {"v1", "v2"}
    again = gateway.client.get("/visits", ("cookie", "visit=3"))
    assert again.header("x-model-version") == drawn[3].header("x-model-version")


BODIES: Final = [
    (b'{"model": "recommend", "input": 1}', "one"),
    (b'{"model": "shop/recommend:latest"}', "one"),
    (b'{"model": "inner"}', "three"),
    (b'{"model": "nobody"}', (404, "unknown_model")),
    (b'{"input": 1}', (400, "no_model")),
    (b"", (400, "no_model")),
    (b'{"model": "inner", "model": "recommend"}', (400, "unreadable_body")),
    (b'{"model": "recommend", "Model": "inner"}', (400, "unclear_model")),
    (b'{"Model": "inner"}', (400, "unclear_model")),
    (b'{"model": ["inner"]}', (400, "unclear_model")),
    (b'["model"]', (400, "unreadable_body")),
    (b'{"model": "inner"', (400, "unreadable_body")),
    (b'\xff{"model": "inner"}', (400, "unreadable_body")),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_a_body_names_its_model(
    gateway: RunningGateway, upstreams: dict[str, Upstream], body: bytes, expected: str | tuple[int, str]
) -> None:
    answer = gateway.client.ask("POST", "/body", PREMIUM, ("content-type", "application/json"), body=body)
    if isinstance(expected, str):
        assert answered_by(answer) == expected
        assert upstreams[expected].only().body == body
        return
    assert refused(answer) == expected
    assert [upstream.received for upstream in upstreams.values()] == [[], [], []]


def test_a_body_that_is_encoded_or_too_large_names_nothing(gateway: RunningGateway) -> None:
    encoded = gateway.client.ask("POST", "/body", PREMIUM, ("content-encoding", "gzip"), body=b'{"model": "inner"}')
    assert refused(encoded) == (415, "encoded_body")
    large = gateway.client.ask("POST", "/body", PREMIUM, body=b'{"model": "inner", "x": "' + b"x" * 200_000 + b'"}')
    assert refused(large) == (413, "body_too_large")


def test_a_body_of_many_pieces_is_read_whole(gateway: RunningGateway, upstreams: dict[str, Upstream]) -> None:
    body = b'{"input": "' + b"x" * 90_000 + b'", "model": "inner"}'
    assert answered_by(gateway.client.ask("POST", "/body", PREMIUM, body=body)) == "three"
    assert upstreams["three"].only().body == body


@pytest.mark.parametrize(
    ("path", "caller", "fields", "expected"),
    [
        ("/header", FREE, (), "one"),
        ("/header", FREE, (("x-model", "rec"),), "one"),
        ("/header", PREMIUM, (("x-model", "inner"),), "three"),
        ("/header", FREE, (("x-model", "inner"),), (403, "model_not_allowed")),
        ("/header", FREE, (("x-model", "visits"),), (404, "unknown_model")),
        ("/header", FREE, (("x-model", "rec"), ("x-model", "inner")), (400, "unclear_model")),
        ("/models/rec/predict", FREE, (), "one"),
        ("/models/inner/predict/deep", PREMIUM, (), "three"),
        ("/models/inner/predict", FREE, (), (403, "model_not_allowed")),
        ("/models/inner", PREMIUM, (), (400, "no_model")),
        ("/models/nobody/predict", FREE, (), (404, "unknown_model")),
    ],
)
def test_a_header_or_a_path_names_its_model(
    gateway: RunningGateway, path: str, caller: Field, fields: tuple[Field, ...], expected: str | tuple[int, str]
) -> None:
    answer = gateway.client.get(path, caller, *fields)
    assert (answered_by(answer) if isinstance(expected, str) else refused(answer)) == expected
