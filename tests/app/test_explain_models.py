"""`extproc explain` says why a version was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from extproc.app.explain import explain
from extproc.app.explanation import Explanation
from extproc.app.project import read_project
from extproc.core import api_key
from extproc.core.headers import Headers
from extproc.core.message import Request

KEYS: Final = {tier: api_key.spell(tier.encode().ljust(api_key.RANDOM_BYTES, b"!")) for tier in ("free", "premium")}
Field = tuple[str, str]
GATEWAY: Final = """\
listeners: [{name: public, address: "127.0.0.1:8080"}]
sidecar: {stores: {keys: file:keys.yaml}}
upstreams: {one: {endpoints: ["127.0.0.1:9001"]}, two: {endpoints: ["127.0.0.1:9002"]}}
authentication: {partners: {api_key: {}}}
tiers: {free: {rate: 1/s}, premium: {rate: 1/s}}
models:
  m:
    aliases: [other]
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}
    pin: {header: x-want, tiers: [premium]}
    rules: [{when: request.path == "/ruled", version: v2}]
    fallback: {to: v2}
  chance: {versions: {v1: {upstream: one, weight: 100}}, sticky: none}
defaults: {authenticate: partners}
routes:
  - {name: ruled, match: {path: /ruled}, model: m}
  - {name: model, match: {path: /model}, model: m}
  - {name: body, match: {path: /body}, model: {from: body}}
  - {name: chance, match: {path: /chance}, model: chance}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    entries = [{"sha256": api_key.digest(key), "consumer": tier, "tier": tier} for tier, key in KEYS.items()]
    (tmp_path / "keys.yaml").write_text(f"keys: {entries}")
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    return tmp_path / "gateway.yaml"


async def asked(file: Path, path: str, tier: str = "free", *fields: Field, body: bytes | None = None) -> Explanation:
    headers = Headers((("x-api-key", KEYS[tier]), *fields))
    return await explain(read_project(file, {}), Request("POST", path, "shop", headers=headers, body=body))


def said(explanation: Explanation) -> str:
    (chosen,) = [one for one in explanation.policies if one.policy == "choose"]
    return chosen.said


CASES: Final = [
    ("/model", "free", [], "model=m, version=v1, chosen_by=consumer, upstream one"),
    ("/model", "premium", [("x-want", "v2")], "model=m, version=v2, chosen_by=pin, upstream two"),
    ("/model", "free", [("x-want", "v2")], "model=m, version=v1, chosen_by=consumer, upstream one"),
    ("/ruled", "free", [], "model=m, version=v2, chosen_by=rules[0], upstream two"),
    ("/chance", "free", [], "model=chance, version=v1, chosen_by=chance, upstream one"),
]


@pytest.mark.parametrize(("path", "tier", "fields", "expected"), CASES)
async def test_why_a_version_was_chosen_is_said(
    file: Path, path: str, tier: str, fields: list[Field], expected: str
) -> None:
    assert said(await asked(file, path, tier, *fields)) == expected


async def test_the_client_is_told_who_answers_and_the_upstream_no_pin(file: Path) -> None:
    explanation = await asked(file, "/model", "premium", ("x-want", "v2"), ("x-model-version", "v9"))
    assert dict(explanation.client_headers) == {"x-model-version": "v2"}
    assert explanation.upstream is not None
    assert {name for name, _ in explanation.upstream.headers} == {"host", "x-consumer-id", "x-consumer-tier"}


async def test_a_body_names_the_model_where_the_route_looks_for_it(file: Path) -> None:
    explanation = await asked(file, "/body", body=b'{"model": "other"}')
    assert explanation.calls == ("ext_authz with bodies",)
    assert said(explanation).startswith("model=m, ")
    refused = await asked(file, "/body")
    assert (refused.status, refused.reason) == (400, "no_model")


async def test_rules_and_what_stands_in_are_in_the_line_about_the_model(file: Path) -> None:
    (chosen,) = [one for one in (await asked(file, "/model")).policies if one.policy == "choose"]
    assert chosen.rule == (
        'm: v1 100 %, v2 0 %; pin by x-want of premium; v2 where request.path == "/ruled"; sticky by consumer; '
        "fallback to v2"
    )
