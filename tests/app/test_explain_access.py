"""`extproc explain` names the member of a rule that refused, and shows nothing that only an upstream may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from extproc.app.explain import explain
from extproc.app.explanation import Explanation
from extproc.app.project import read_project
from extproc.core import api_key
from extproc.core.handover import HIDDEN
from extproc.core.headers import Headers
from extproc.core.message import Request

KEY = api_key.spell(bytes(range(20)))
WHO = {"x-api-key": KEY}
GATEWAY = """
listeners: [{name: public, address: "127.0.0.1:8080"}]
sidecar: {stores: {keys: file:keys.yaml}, signing: {keys: [signing.pem]}}
upstreams:
  plain: {endpoints: ["127.0.0.1:9001"]}
  keyed: {endpoints: ["127.0.0.1:9002"], credential: {header: x-provider, value: hunter2}}
authentication: {partners: {api_key: {}}}
tiers: {free: {rate: 1/s}, gold: {rate: 1/s}}
defaults: {authenticate: partners}
routes:
  - {name: one, match: {path: /one}, upstream: plain, authorize: {tiers: [free], scopes: [orders:write]}}
  - name: several
    match: {path: /several}
    upstream: plain
    authorize: [{tiers: [gold]}, {addresses: [10.0.0.0/8], when: request.method == "GET"}]
  - {name: signed, match: {path: /signed}, upstream: keyed, forward: signed}
  - {name: kept, match: {path: /kept}, upstream: keyed, forward_credentials: true}
"""
ONE = "tiers free; scopes orders:write"
SEVERAL = '[0] tiers gold or [1] from 10.0.0.0/8; request.method == "GET"'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    entry = f"{{sha256: {api_key.digest(KEY)}, consumer: acme, tier: free, scopes: [orders:read]}}"
    (tmp_path / "keys.yaml").write_text(f"keys: [{entry}]\n")
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "signing.pem").write_bytes(key)
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    return tmp_path / "gateway.yaml"


async def asked(file: Path, path: str, headers: Mapping[str, str] = WHO, address: str = "10.0.0.1") -> Explanation:
    request = Request("GET", path, "shop.test", headers=Headers.of(headers), address=address)
    return await explain(read_project(file, {}), request)


@pytest.mark.parametrize(
    ("path", "address", "expected"),
    [
        ("/one", "10.0.0.1", (ONE, "refuse", "missing_scope", "refused_by=scopes")),
        ("/several", "10.0.0.1", (SEVERAL, "continue", "", "allowed_by=[1]")),
        ("/several", "11.0.0.1", (SEVERAL, "refuse", "no_rule_matches", "refused_by=[0].tiers, [1].addresses")),
    ],
)
async def test_the_member_that_refused_is_named(
    file: Path, path: str, address: str, expected: tuple[str, str, str, str]
) -> None:
    explanation = await asked(file, path, address=address)
    one = next(one for one in explanation.policies if one.policy == "authorize")
    assert (one.rule, one.decision, one.reason, one.said) == expected


async def test_a_token_and_a_key_are_named_and_not_shown(file: Path) -> None:
    explanation = await asked(file, "/signed", {**WHO, "x-provider": "mine"})
    assert explanation.upstream is not None
    assert explanation.upstream.upstream == "keyed"
    arriving = dict(explanation.upstream.headers)
    assert (arriving["x-consumer-token"], arriving["x-provider"]) == ("(signed)", "(not shown)")
    assert "x-api-key" not in arriving
    assert "hunter2" not in str(asdict(explanation))


async def test_a_credential_that_is_forwarded_is_named_and_not_shown(file: Path) -> None:
    explanation = await asked(file, "/kept")
    assert explanation.upstream is not None
    assert dict(explanation.upstream.headers)["x-api-key"] == HIDDEN
