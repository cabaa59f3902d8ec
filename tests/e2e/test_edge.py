"""What a client may not send: rows 1 to 18 of the acceptance catalogue, against the real Envoy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.clients import Field, read_reply, request
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.http2 import ask
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

# Everything by which a client could claim what only a proxy may say.
FORGED = [
    "x-consumer-id", "x-consumer-tier", "x-consumer-scopes", "x-consumer-anything", "x-extproc-cluster",
    "x-extproc-anything", "x-extproc-request-id", "x-envoy-original-path", "x-envoy-internal",
    "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-max-retries",
    "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-hedge-on-per-try-timeout", "x-envoy-force-trace",
    "x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node",
    "x-envoy-ip-tags", "x-envoy-original-host", "x-envoy-expected-rq-timeout-ms",
    "x-envoy-attempt-count", "x-envoy-is-timeout-retry", "x-envoy-peer-metadata", "x-envoy-anything",
    "x-envoy-auth-failure-mode-allowed", "x-envoy-auth-partial-body", "x-original-url", "x-rewrite-url",
    "x-forwarded-host", "x-http-method-override", "x-http-method", "x-method-override",
]  # fmt: skip
WITNESS = "x-witness"  # a header that nobody removes
NAMES = ", ".join(f'"{name}"' for name in (*FORGED, WITNESS))
GATEWAY = (
    HEAD
    + """
upstreams: {open: {endpoints: ["${OPEN}"]}, guarded: {endpoints: ["${GUARDED}"]}}
tiers: {free: {rate: 1000/s}, premium: {rate: 1000/s}}
models:
  choice: {versions: {v1: {upstream: guarded, weight: 100}}, sticky: consumer}
defaults: {authenticate: [company, partners], limits: []}
routes:
  - name: unseen
    match: {path: /unseen}
    upstream: guarded
    authorize: '!request.headers.exists(name, name in [NAMES])'
  - {name: admin, match: {path_prefix: /admin}, upstream: guarded, PREMIUM_ONLY}
  - {name: app, match: {path_prefix: /app}, upstream: guarded}
  - {name: counted, match: {path_prefix: /counted}, upstream: guarded, limits: [tier, {per: address, rate: 1000/s}]}
  - {name: model, match: {path_prefix: /model}, model: choice}
  - """.replace("PREMIUM_ONLY", """authorize: 'consumer.tier == "premium"'""").replace("NAMES", NAMES)
    + FENCE
    + """
  - {name: rest, match: {path_prefix: /}, upstream: open, authenticate: none}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("open", "guarded") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: list[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()


def nobody_received(upstreams: list[Upstream]) -> bool:
    return not any(upstream.received for upstream in upstreams)


@pytest.mark.parametrize(
    "forged", [bearer("x", aud="other"), ("authorization", "Bearer x"), ("authorization", "Basic eA==")]
)
@pytest.mark.parametrize("good_first", [True, False])
def test_two_authorization_headers_are_401(
    gateway: RunningGateway, upstreams: list[Upstream], forged: Field, good_first: bool
) -> None:
    good = bearer()
    assert gateway.client.get("/app", good).status == 200
    upstreams[1].clear()
    fields = (good, forged) if good_first else (forged, good)
    reply = gateway.client.get("/app", *fields)
    assert (reply.status, len(reply.all("www-authenticate"))) == (401, 1)
    assert nobody_received(upstreams)


@pytest.mark.parametrize("fields", [[FREE, PREMIUM], [PREMIUM, FREE], [FREE, FREE], [FREE, bearer()], [bearer(), FREE]])
def test_two_credentials_are_401(gateway: RunningGateway, upstreams: list[Upstream], fields: list[Field]) -> None:
    assert gateway.client.get("/app", *fields).reason == "several_credentials"
    assert nobody_received(upstreams)


@pytest.mark.parametrize("field", [("X_Api_Key", FREE[1]), ("x_user_id", "1"), ("x-consumer_id", "1"), ("a_b", "c")])
def test_a_header_with_an_underscore_is_400(gateway: RunningGateway, upstreams: list[Upstream], field: Field) -> None:
    assert gateway.client.get("/other", field).status == 400
    assert nobody_received(upstreams)


IDENTITY = {"x-consumer-id": "free-caller", "x-consumer-tier": "free", "x-consumer-scopes": "orders:read"}


def forged_fields(name: str) -> list[Field]:
    return [(name, "forged"), (name.title(), "forged-again")]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_reaches_no_upstream_when_anonymous(
    gateway: RunningGateway, upstreams: list[Upstream], name: str
) -> None:
    assert gateway.client.get("/other", *forged_fields(name)).status == 200
    assert upstreams[0].only().all(name) == []


@pytest.mark.parametrize("path", ["/app", "/counted", "/model"])
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_reaches_no_upstream_when_authenticated(
    gateway: RunningGateway, upstreams: list[Upstream], path: str, name: str
) -> None:
    assert gateway.client.get(path, FREE, *forged_fields(name)).status == 200
    assert upstreams[1].only().all(name) == [value for one, value in IDENTITY.items() if one == name]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_header_is_not_seen_by_policies(gateway: RunningGateway, upstreams: list[Upstream], name: str) -> None:
    assert gateway.client.get("/unseen", FREE, *forged_fields(name)).status == 200
    assert upstreams[1].only().all(name) == [value for one, value in IDENTITY.items() if one == name]


def test_a_header_that_nobody_removes_is_seen_by_policies(gateway: RunningGateway) -> None:
    assert gateway.client.get("/unseen", FREE, (WITNESS, "1")).status == 403


def test_the_upstream_is_told_who_is_asking_and_not_the_credential(
    gateway: RunningGateway, upstreams: list[Upstream]
) -> None:
    assert gateway.client.get("/app?x=1", bearer("c-1", scope="a b"), ("x-other", "kept")).status == 200
    received = upstreams[1].only()
    assert (received.all("x-consumer-id"), received.all("x-consumer-scopes")) == (["c-1"], ["a b"])
    assert received.all("authorization") == []
    assert (received.target, received.all("x-other")) == ("/app?x=1", ["kept"])


def test_a_clients_request_id_and_scheme_are_replaced(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    fields = [("x-request-id", "forged"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "192.0.2.1")]
    fields.append(("x-envoy-external-address", "192.0.2.1"))
    reply = gateway.client.get("/app", FREE, *fields)
    received = upstreams[1].only()
    assert received.all("x-request-id") == [reply.id]
    assert reply.id != "forged"
    assert received.all("x-forwarded-proto") == ["http"]
    assert received.all("x-envoy-external-address") == ["127.0.0.1"]
    assert gateway.decision(reply.id)["address"] == "127.0.0.1"


def test_odd_bytes_in_a_header_are_judged_like_others_and_make_one_log_line(
    gateway: RunningGateway, upstreams: list[Upstream]
) -> None:
    odd = "".join(map(chr, range(0x80, 0x100)))
    with gateway.watched() as decisions:
        refused = gateway.client.get("/app", ("x-odd", odd), ("user-agent", odd))
        allowed = gateway.client.get("/app", FREE, ("x-odd", odd), ("user-agent", odd))
    assert (refused.status, allowed.status) == (401, 200)
    assert upstreams[1].only().all("x-odd") == [odd]
    assert [one["request_id"] for one in decisions] == [refused.id, allowed.id]


def test_whatever_bytes_a_request_line_has_it_is_one_line_of_the_access_log(gateway: RunningGateway) -> None:
    odd = "".join(map(chr, (*range(0x80, 0x100), 0x22, 0x5C, 0x7B)))
    for mark in ("odd-1", "odd-2"):
        gateway.client.send(request("GET", f"/app/{mark}{odd}", ("host", "gateway.test"), FREE))
        ask(gateway.client.port, (":path", f"/app/{mark}{odd}"), FREE)

    def logged() -> list[str] | None:
        lines = (gateway.work / "envoy.log").read_bytes().decode("utf-8", "replace").split("\n")
        found = [line for line in lines if "odd-" in line]
        return found if any("odd-2" in line for line in found) else None

    found = eventually(logged, "Envoy has written its access log", 30)
    assert all(json.loads(line)["method"] == "GET" for line in found)
    assert len(found) <= 4


@pytest.mark.parametrize(
    "value", ["a\rb", "a\nx-consumer-id: forged", "a\r\n\tfolded", "a\r\n x-consumer-id: forged", "a\x00b", "a\x7fb"]
)
def test_a_line_break_in_a_header_forges_no_other_header_and_no_log_line(
    gateway: RunningGateway, upstreams: list[Upstream], value: str
) -> None:
    with gateway.watched() as decisions:
        reply = gateway.client.send(request("GET", "/app", ("host", "gateway.test"), FREE, ("x-odd", value)))
    assert reply is not None
    # A line that is folded is joined, one that is not is a field of its own, a lone CR is left out: for all alike.
    assert reply.status == (200 if "\n" in value or "\r" in value else 400)
    assert len(decisions) == (reply.status == 200)
    for received in upstreams[1].received:
        assert received.all("x-consumer-id") == ["free-caller"]
        assert received.all("x-odd")[0] in ("a", "ab", "a\tfolded", "a x-consumer-id: forged")


@pytest.mark.parametrize("names", ["authorization", "x-api-key", "authorization, x-api-key"])
def test_a_connection_header_that_drops_the_credential_is_401(
    gateway: RunningGateway, upstreams: list[Upstream], names: str
) -> None:
    credential = FREE if names == "x-api-key" else bearer()
    assert gateway.client.get("/app", credential).status == 200
    upstreams[1].clear()
    assert gateway.client.get("/app", credential, ("connection", names)).reason == "no_credentials"
    assert nobody_received(upstreams)


def raw_get(*lines: str, version: str = "1.1", method: str = "POST", body: str = "") -> bytes:
    head = [f"{method} /app HTTP/{version}", "host: gateway.test", f"x-api-key: {FREE[1]}", *lines, "", ""]
    return ("\r\n".join(head) + body).encode("latin-1")


MALFORMED = {
    "both framings": raw_get("content-length: 5", "transfer-encoding: chunked", body="0\r\n\r\n"),
    "both framings, other order": raw_get("transfer-encoding: chunked", "content-length: 5", body="0\r\n\r\n"),
    "two lengths": raw_get("content-length: 5", "content-length: 6", body="hello!"),
    "two equal lengths": raw_get("content-length: 5", "content-length: 5", body="hello"),
    "a list of lengths": raw_get("content-length: 5, 6", body="hello!"),
    "a signed length": raw_get("content-length: +5", body="hello"),
    "a negative length": raw_get("content-length: -5", body="hello"),
    "space before the colon": raw_get("content-length : 5", body="hello"),
    "no path": b"OPTIONS * HTTP/1.1\r\nhost: gateway.test\r\n\r\n",
    "an unknown framing": raw_get("transfer-encoding: gzip, nonsense", body="hello"),
    "an obscured framing": raw_get("transfer-encoding: xchunked", body="0\r\n\r\n"),
    "a bad chunk size": raw_get("transfer-encoding: chunked", body="xyz\r\nhello\r\n0\r\n\r\n"),
    "no field name": raw_get(": x"),
    "no colon": raw_get("nonsense"),
    "HTTP/1.0": raw_get(version="1.0", method="GET"),
    "HTTP/0.9": b"GET /app\r\n\r\n",
    "HTTP/3.0": raw_get(version="3.0", method="GET"),
    "CONNECT": b"CONNECT gateway.test:443 HTTP/1.1\r\nhost: gateway.test:443\r\n\r\n",
    "CONNECT to a path": b"CONNECT /app HTTP/1.1\r\nhost: gateway.test\r\n\r\n",
    "a method in lower case": raw_get(method="get"),
    "a method nobody knows": raw_get(method="GETX"),
    "a space in front of the first field": raw_get().replace(b"host:", b" host:"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,
}


# Where it is not 400.
SAID = {
    "no path": (404, "no_route"),
    "an unknown framing": (501, "not_implemented"),
    "an obscured framing": (501, "not_implemented"),
    **dict.fromkeys(("HTTP/1.0", "HTTP/0.9", "HTTP/3.0"), (426, "upgrade_required")),
    "CONNECT": (403, "closed"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_before_anybody_is_asked(
    gateway: RunningGateway, upstreams: list[Upstream], name: str
) -> None:
    with gateway.watched() as decisions:
        reply = gateway.client.send(MALFORMED[name])
    assert reply is not None
    status, reason = SAID.get(name, (400, "bad_request"))
    assert (reply.status, reply.reason) == (status, reason)
    assert reply.header("connection") == "close" or name == "no path"
    assert decisions == []
    assert nobody_received(upstreams)


def test_a_folded_line_belongs_to_the_value_before_it(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    """Envoy joins it with a space (RFC 9112 §5.2), for us as for the upstream: the key is then another one."""
    reply = gateway.client.send(raw_get(" x-consumer-id: forged"))
    assert reply is not None
    assert reply.reason == "unknown_api_key"
    assert nobody_received(upstreams)


def test_a_connect_is_answered_at_once_and_opens_no_tunnel(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    with gateway.client.connected() as connection:
        connection.sendall(MALFORMED["CONNECT"])
        reply = read_reply(connection)
        assert reply is not None
        assert (reply.status, reply.reason) == (403, "closed")
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request("GET", "/app", ("host", "gateway.test"), FREE))
            assert (read_reply(connection) or reply).status != 200
    assert nobody_received(upstreams)


@pytest.mark.parametrize("path", ["/app", "/model", "/admin"])
def test_an_upgrade_without_a_credential_is_refused(
    gateway: RunningGateway, upstreams: list[Upstream], path: str
) -> None:
    fields = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
    reply = gateway.client.get(path, *fields, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
    assert reply.status in (401, 403)
    assert nobody_received(upstreams)


HEAVY: dict[str, list[Field]] = {
    "101 headers": [(f"x-field-{number}", "1") for number in range(101)],
    "one of 70 KB": [("x-field", "x" * 70_000)],
    "70 KB together": [(f"x-field-{number}", "x" * 1000) for number in range(70)],
}


@pytest.mark.parametrize("name", HEAVY)
def test_too_many_or_too_large_headers_are_431(gateway: RunningGateway, upstreams: list[Upstream], name: str) -> None:
    with gateway.watched() as decisions:
        reply = gateway.client.get("/app", FREE, *HEAVY[name])
    assert reply.status == 431
    assert decisions == []
    assert nobody_received(upstreams)
