"""What `extproc explain` knows: the same engine as production, asked by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from extproc.app.explain import explain
from extproc.app.explanation import Explanation
from extproc.app.project import read_project
from extproc.core import api_key
from extproc.core.handover import HIDDEN
from extproc.core.headers import Headers
from extproc.core.message import Request

KEY: Final = api_key.spell(b"k" * api_key.RANDOM_BYTES)
GATEWAY: Final = """\
listeners: [{name: public, address: "127.0.0.1:8080"}]
sidecar: {stores: {keys: file:keys.yaml}}
upstreams: {one: {endpoints: ["127.0.0.1:9001"]}, two: {endpoints: ["127.0.0.1:9002"]}}
authentication: {partners: {api_key: {}}}
tiers: {free: {rate: 1/s}}
models: {m: {versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}}}
defaults: {authenticate: partners, limits: [tier]}
routes:
  - name: orders
    match: {path_prefix: /orders, methods: [GET]}
    upstream: one
    authorize: '"orders:read" in consumer.scopes'
    policies: [{use: transform, response: {headers: {x-edited: '"1"'}, json: {set: {a: "1"}}}}]
  - {name: model, match: {path: /model}, model: m}
  - {name: open, match: {path: /open}, upstream: two, authenticate: none, limits: []}
  - {name: counted, match: {path: /counted}, upstream: two, authenticate: none, limits: [{per: address, rate: 5/s}]}
  - {name: fails, match: {path: /fails}, upstream: two, authorize: 'request.headers["x-not-there"] == ""'}
  - {name: away, match: {path: /away}, redirect: {to: /open, status: 302}, authenticate: none, limits: []}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    entry = f"{{sha256: {api_key.digest(KEY)}, consumer: acme, tier: free}}"
    (tmp_path / "keys.yaml").write_text(f"keys: [{entry}]\n")
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    return tmp_path / "gateway.yaml"


async def asked(file: Path, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Explanation:
    target, _, query = path.partition("?")
    fields = Headers.of(headers or {})
    return await explain(
        read_project(file, {}), Request(method, target, "Shop.test:80", query, headers=fields, address="10.0.0.1")
    )


def shown(explanation: Explanation) -> list[tuple[str, str, str]]:
    return [(one.policy, one.decision, one.reason) for one in explanation.policies]


async def test_the_rule_that_refuses_is_named_with_its_place(file: Path) -> None:
    explanation = await asked(file, "/orders", {"x-api-key": KEY})
    assert (explanation.decision, explanation.status, explanation.reason) == ("refuse", 403, "not_authorized")
    assert shown(explanation) == [
        ("authenticate", "continue", ""),
        ("authorize", "refuse", "not_authorized"),
        ("limit", "not asked", ""),
        ("transform", "later", ""),
    ]
    refusing = explanation.policies[1]
    assert (refusing.rule, refusing.at) == ('"orders:read" in consumer.scopes', f"{file}:12")
    assert explanation.upstream is None
    assert "not_authorized" in explanation.body


async def test_what_the_upstream_gets_is_what_it_would_get(file: Path) -> None:
    sent = {"x-api-key": KEY, "x-consumer-id": "admin", "x-envoy-odd": "1", "user-agent": "me", "x-request-id": "mine"}
    explanation = await asked(file, "//model/../model?a=1", sent)
    assert explanation.decision == "allow"
    assert explanation.consumer == "acme (free) by partners"
    assert explanation.removed == ("x-consumer-id", "x-envoy-odd")
    assert explanation.upstream is not None
    assert (explanation.upstream.upstream, explanation.upstream.path) == ("one", "/model?a=1")
    assert explanation.upstream.headers == (
        ("host", "shop.test"), ("user-agent", "me"), ("x-consumer-id", "acme"), ("x-consumer-tier", "free"),
    )  # fmt: skip
    assert dict(explanation.client_headers)["x-model-version"] == "v1"


async def test_every_policy_that_answered_is_timed(file: Path) -> None:
    explanation = await asked(file, "/model", {"x-api-key": KEY})
    assert [one.policy for one in explanation.policies] == ["authenticate", "limit", "choose"]
    assert all(one.duration_us > 0 for one in explanation.policies)


async def test_counters_begin_empty_for_every_question(file: Path) -> None:
    answers = [await asked(file, "/model", {"x-api-key": KEY}) for _ in range(3)]
    assert [answer.decision for answer in answers] == ["allow"] * 3


async def test_a_route_that_nobody_is_asked_about_goes_straight_through(file: Path) -> None:
    secrets = {"authorization": "Bearer x", "cookie": "a=b", "x-api-key": KEY}
    explanation = await asked(file, "/open", {**secrets, "x-plain": "1"})
    assert (explanation.calls, explanation.policies) == ((), ())
    assert explanation.upstream is not None
    told = dict(explanation.upstream.headers)
    assert {name: told[name] for name in secrets} == dict.fromkeys(secrets, HIDDEN)
    assert told["x-plain"] == "1"


async def test_limits_of_the_rate_limit_service_are_judged_too(file: Path) -> None:
    explanation = await asked(file, "/counted")
    assert explanation.calls == ("ratelimit",)
    assert shown(explanation) == [("limit", "continue", "")]
    assert explanation.policies[0].rule == "5/s per address"
    assert explanation.policies[0].at == f"{file}:16"


async def test_a_policy_that_could_not_decide_is_told_as_an_error(file: Path) -> None:
    explanation = await asked(file, "/fails", {"x-api-key": KEY})
    assert (explanation.decision, explanation.status) == ("refuse", 500)
    assert shown(explanation)[:3] == [
        ("authenticate", "continue", ""), ("authorize", "error", "expression_failed"), ("limit", "not asked", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "method", "headers", "status", "decision"),
    [
        ("/nowhere", "GET", {}, 404, "refuse"),
        ("/orders", "POST", {}, 404, "refuse"),
        ("/ordersx", "GET", {}, 404, "refuse"),
        ("/orders%2fx", "GET", {}, 307, "redirect"),
        ("/open", "GET", {"x_odd": "1"}, 400, "refuse"),
        ("/orders/%2e%2e;/open", "GET", {}, 400, "refuse"),
        ("/away", "GET", {}, 302, "redirect"),
        ("/orders", "GET", {}, 401, "refuse"),
        ("/orders", "GET", {"x-api-key": "wrong"}, 401, "refuse"),
    ],
)
async def test_what_envoy_answers_by_itself_is_told(
    path: str, method: str, headers: Mapping[str, str], status: int, decision: str, file: Path
) -> None:
    explanation = await asked(file, path, headers, method)
    assert (explanation.status, explanation.decision) == (status, decision)
    assert explanation.upstream is None


class Publisher:
    """An issuer on loopback, and what it was asked for."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path == "/keys":
            return web.json_response({"keys": [json.loads(ECAlgorithm.to_jwk(self.key.public_key()))]})
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    def bearer(self) -> str:
        exp = int(time.clock_gettime(time.CLOCK_REALTIME)) + 600
        return "Bearer " + jwt.encode({"iss": self.url, "aud": "shop", "sub": "acme", "exp": exp}, self.key, "ES256")


async def test_an_issuer_is_asked_for_its_keys_when_a_token_of_its_own_is_shown_and_not_before(file: Path) -> None:
    publisher = Publisher()
    app = web.Application()
    app.router.add_get("/{path:.*}", publisher.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    publisher.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    method = f"{{partners: {{jwt: {{issuer: '{publisher.url}', audiences: [shop]}}}}}}"
    file.write_text(GATEWAY.replace("{partners: {api_key: {}}}", method).replace("limits: [tier]", "limits: []"))
    try:
        refused = await asked(file, "/model", {"authorization": "Bearer a.b.c"})
        assert (refused.reason, publisher.asked) == ("malformed_token", [])
        allowed = await asked(file, "/model", {"authorization": publisher.bearer()})
        assert (allowed.decision, allowed.consumer) == ("allow", "acme (no tier) by partners")
        assert publisher.asked == ["/.well-known/openid-configuration", "/keys"]
    finally:
        await runner.cleanup()
    unasked = await asked(file, "/model", {"authorization": publisher.bearer()})
    assert (unasked.status, unasked.reason) == (503, "provider_unavailable")
