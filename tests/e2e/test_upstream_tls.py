"""TLS to upstreams: whoever cannot prove to be the one that was meant is sent nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.certificates import CLIENT, Authority, Issued, dns, ip, replace, uri
from tests.e2e.harness import RunningGateway, eventually
from tests.e2e.secure_clients import serving
from tests.e2e.upstreams import Upstream

pytestmark = pytest.mark.e2e

AUTHORITY: Final = Authority()
STRANGER: Final = Authority()
GATEWAYS: Final = Authority("gateways")
RELOADED: Final = 10.0
SPIFFE: Final = "spiffe://test/upstream"
# What each upstream shows; the gateway expects `meant.test` of all but those that say otherwise.
SHOWN: Final[dict[str, Issued]] = {
    "good": AUTHORITY.issue(dns("meant.test")),
    "wildcard": AUTHORITY.issue(dns("*.meant.test")),
    "by_uri": AUTHORITY.issue(uri(SPIFFE)),
    "by_address": AUTHORITY.issue(ip("127.0.0.1")),
    "wrong_name": AUTHORITY.issue(dns("other.test")),
    "longer_name": AUTHORITY.issue(dns("meant.test.other.test")),
    "no_name": AUTHORITY.issue(common_names=["meant.test"]),
    "other_type": AUTHORITY.issue(dns(SPIFFE.replace("://", "."))),
    "expired": AUTHORITY.issue(dns("meant.test"), days=-1),
    "unknown_authority": STRANGER.issue(dns("meant.test")),
    "mutual": AUTHORITY.issue(dns("meant.test")),
    "mutual_unmet": AUTHORITY.issue(dns("meant.test")),
    "plain": AUTHORITY.issue(dns("meant.test")),
    "renewed": AUTHORITY.issue(dns("meant.test")),
}
EXPECTED: Final = {
    "wildcard": "a.meant.test", "by_uri": SPIFFE, "other_type": SPIFFE, "by_address": "127.0.0.1",
}  # fmt: skip
GOOD: Final = ("good", "wildcard", "by_uri", "by_address", "mutual")
BAD: Final = (
    "wrong_name", "longer_name", "no_name", "other_type", "expired", "unknown_authority", "mutual_unmet", "plain",
)  # fmt: skip


def gateway_text() -> str:
    lines = ['listeners: [{name: public, address: "${GATEWAY_ADDRESS}"}]', 'envoy: {admin: "${ENVOY_ADMIN}"}']
    lines += ['sidecar: {address: "unix:${SIDECAR_SOCKETS}", admin: "${SIDECAR_ADMIN}"}', "upstreams:"]
    for name in SHOWN:
        own = ", certificate: gateway.crt, key: gateway.key" if name == "mutual" else ""
        checked = ", health_check: /healthz" if name in ("good", "wrong_name") else ""
        authorities = "renewed.crt" if name == "renewed" else "ca.crt"
        tls = f'{{san: ["{EXPECTED.get(name, "meant.test")}"], ca: {authorities}{own}}}'
        lines.append(f'  {name}: {{endpoints: ["${{{name.upper()}}}"], tls: {tls}{checked}}}')
    lines += ["defaults: {authenticate: none, limits: []}", "routes:"]
    lines += [f"  - {{name: {name}, match: {{path: /{name}}}, upstream: {name}}}" for name in SHOWN]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Upstream]]:
    folder = tmp_path_factory.mktemp("served")
    with ExitStack() as ends:
        found = {name: _upstream(name, issued, folder) for name, issued in SHOWN.items()}
        for one in found.values():
            ends.callback(one.close)
        yield found


def _upstream(name: str, issued: Issued, folder: Path) -> Upstream:
    if name == "plain":
        return Upstream(name)
    return Upstream(name, serving(issued, folder, GATEWAYS if name.startswith("mutual") else None))


@pytest.fixture(scope="module")
def gateway(upstreams: dict[str, Upstream]) -> Iterator[RunningGateway]:
    made = RunningGateway(gateway_text(), list(upstreams.values()))
    replace(made.folder / "ca.crt", AUTHORITY.pem)
    replace(made.folder / "renewed.crt", STRANGER.pem)
    GATEWAYS.issue(uri("spiffe://test/gateway"), usage=CLIENT).write(made.folder, "gateway")
    with made as running:
        yield running


@pytest.mark.parametrize("name", GOOD)
def test_an_upstream_that_proves_who_it_is_gets_the_request(
    gateway: RunningGateway, upstreams: dict[str, Upstream], name: str
) -> None:
    reply = gateway.client.get(f"/{name}")
    assert (reply.status, json.loads(reply.body)) == (200, {"upstream": name})
    assert upstreams[name].only().target == f"/{name}"


@pytest.mark.parametrize("name", BAD)
def test_an_upstream_that_does_not_is_503_and_gets_nothing(
    gateway: RunningGateway, upstreams: dict[str, Upstream], name: str
) -> None:
    reply = gateway.client.ask("POST", f"/{name}", ("authorization", "Bearer secret"), body=b"secret")
    assert (reply.status, reply.reason) == (503, "unavailable")
    assert upstreams[name].received == []


def test_health_checks_are_tls_too(gateway: RunningGateway, upstreams: dict[str, Upstream]) -> None:
    checks = upstreams["good"].health_checks
    eventually(lambda: checks, "a health check")
    assert checks[0].header("host") == "meant.test"
    eventually(lambda: gateway.stat("cluster.upstream.wrong_name.health_check.failure") > 0, "one that fails")
    assert upstreams["wrong_name"].health_checks == []


def test_a_new_authority_is_believed_within_ten_seconds_of_its_rename(
    gateway: RunningGateway, upstreams: dict[str, Upstream]
) -> None:
    assert gateway.client.get("/renewed").status == 503
    replace(gateway.folder / "renewed.crt", AUTHORITY.pem)
    eventually(lambda: gateway.client.get("/renewed").status == 200, "the new authority", RELOADED)
    assert upstreams["renewed"].received
