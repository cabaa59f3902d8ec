"""Answers that the gateway puts together, through the real Envoy: in time, bounded, and never less without a word."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.clients import Client, Reply, request
from tests.e2e.credentials import FREE, FREE_KEY, PREMIUM, bearer
from tests.e2e.harness import HEAD, RunningGateway, SeparateGateway, eventually
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

NDJSON: Final = ("accept", "application/x-ndjson")
SECRET: Final = "s3cret-of-the-provider"
KIB: Final = 1024
GATEWAY: Final = (
    HEAD.replace("stores:", "signing: {keys: [signing.pem]}, stores:")
    + """
upstreams:
  users: {endpoints: ["${USERS}"]}
  orders: {endpoints: ["${ORDERS}"], credential: {header: x-provider-key, value: SECRET}}
  picks: {endpoints: ["${PICKS}"]}
versions: {v1: {status: deprecated, deprecated: 2026-10-01}}
defaults: {authenticate: [company, partners], limits: [{per: consumer, rate: 100000/s}]}
routes:
  - name: home
    match: {path: /home}
    timeout: 2s
    version: {is: v1}
    aggregate:
      profile: {upstream: users, path: "/users/{consumer.id}"}
      orders: {upstream: orders, path: "/orders?user={consumer.id}&q={request.params.q}", when: '"q" in request.params'}
      picks: {upstream: picks, path: /recommend, optional: true, timeout: 300ms, response_limit: 64KiB}
  - name: composed
    match: {path: /composed}
    timeout: 2s
    aggregate:
      profile: {upstream: users, path: /profile}
      made:
        upstream: orders
        path: "/teams/{parts.profile.team}"
        method: POST
        body: '{"asked": request.json, "by": consumer.id}'
        headers: {x-team: parts.profile.team}
    merge: {body: '{"team": parts.profile.team, "made": parts.made}'}
  - name: vouched
    match: {path: /vouched}
    forward: signed
    forward_credentials: true
    aggregate: {profile: {upstream: users, path: /profile}, orders: {upstream: orders, path: /orders}}
  - name: retried
    match: {path: /retried}
    timeout: 2s
    aggregate: {profile: {upstream: users, path: /flaky, retries: 2}}
  - name: limited
    match: {path: /limited}
    authenticate: none
    limits: [{per: address, rate: 1/minute, burst: 1}]
    aggregate: {profile: {upstream: users, path: /profile}}
  - name: guarded
    match: {path: /guarded}
    authorize: consumer.tier == "premium"
    aggregate: {profile: {upstream: users, path: /guarded}}
  - name: named
    match: {path: /named}
    timeout: 1s
    aggregate: {profile: {upstream: users, path: "/named/{request.params.id}"}}
  - name: direct
    match: {path: /direct}
    upstream: users
""".replace("SECRET", SECRET)
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[Upstream, Upstream, Upstream]]:
    with started("users", "orders", "picks") as (users, orders, picks):
        yield users, orders, picks


@pytest.fixture(scope="module")
def gateway(upstreams: tuple[Upstream, ...]) -> Iterator[RunningGateway]:
    running = RunningGateway(GATEWAY, upstreams)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", running.folder / "signing.pem"], check=True)
    with running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: tuple[Upstream, ...]) -> None:
    for upstream in upstreams:
        upstream.answers.clear()
        upstream.clear()


@pytest.fixture(name="users")
def _users(upstreams: tuple[Upstream, ...]) -> Upstream:
    return upstreams[0]


@pytest.fixture(name="orders")
def _orders(upstreams: tuple[Upstream, ...]) -> Upstream:
    return upstreams[1]


@pytest.fixture(name="picks")
def _picks(upstreams: tuple[Upstream, ...]) -> Upstream:
    return upstreams[2]


def given(document: Any, **more: Any) -> Answer:
    return Answer(body=json.dumps(document).encode(), **more)


@pytest.mark.parametrize("caller", [FREE, bearer("free-caller")], ids=["key", "token"])
def test_one_answer_is_made_of_three(gateway: RunningGateway, orders: Upstream, caller: tuple[str, str]) -> None:
    orders.answers["/orders"] = Answer(body=b'[ {"total": 12345678901234567890.10} ]')
    reply = gateway.client.get("/home?q=a%2Fb%26x%3D1", caller)
    assert (reply.status, reply.header("content-type"), reply.header("cache-control")) == (200, *JSON[1:], "no-store")
    orders_as_written = b'"orders":[ {"total": 12345678901234567890.10} ]'
    assert reply.body == b'{"profile":{"upstream": "users"},' + orders_as_written + b',"picks":{"upstream": "picks"}}'
    assert reply.header("x-aggregate-partial") is None
    assert reply.header("ratelimit-policy") == '"consumer-0";q=100000;w=1'
    assert reply.header("deprecation") == "@1790812800"
    assert orders.only().target == "/orders?user=free-caller&q=a%2Fb%26x%3D1"


def test_parts_get_what_a_route_of_their_own_would_give_them(
    gateway: RunningGateway, users: Upstream, orders: Upstream
) -> None:
    sent = [
        FREE, ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=b"),
        ("b3", "0"), ("x-forwarded-for", "203.0.113.9"), ("cookie", "a=b"), ("x-consumer-id", "forged"),
        ("x-extproc-part", "home/picks"), ("x-extproc-upstream", "picks"),
    ]  # fmt: skip
    reply = gateway.client.get("/home?q=1", *sent, host="shop.example")
    part = users.only()
    gateway.client.get("/direct", *sent, host="shop.example")
    direct = users.received[-1]
    same = ("host", "traceparent", "tracestate", "b3", "x-consumer-id", "x-consumer-tier", "x-consumer-scopes",
            "x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address")  # fmt: skip
    assert {name: part.header(name) for name in same} == {name: direct.header(name) for name in same}
    assert part.header("x-consumer-id") == "free-caller"
    assert part.header("x-request-id") == reply.id
    gone = ("x-api-key", "cookie", "x-extproc-part", "x-extproc-upstream", "user-agent")
    assert {name: part.header(name) for name in gone} == dict.fromkeys(gone)
    assert orders.only().header("x-provider-key") == SECRET
    assert SECRET not in str(reply)


def test_a_signed_token_and_the_clients_own_credential_go_to_each_part(
    gateway: RunningGateway, users: Upstream, orders: Upstream
) -> None:
    caller = bearer("token-caller")
    assert gateway.client.get("/vouched", caller).status == 200
    tokens = [upstream.only().header("x-consumer-token") for upstream in (users, orders)]
    assert all(tokens)
    assert tokens[0] != tokens[1], "one token is for one upstream"
    assert [upstream.only().header("authorization") for upstream in (users, orders)] == [caller[1]] * 2


def test_one_slow_one_failing_and_one_oversized_part_are_an_answer_within_the_deadline(
    gateway: RunningGateway, picks: Upstream
) -> None:
    """Optional ones are named with the reason (row 40); those that are needed are the next test's."""
    slow, failing = Answer(delay=1.5), Answer(503, body=b'{"secret": 1}')
    large = Answer(body=b'"' + b"x" * 65 * KIB + b'"')
    for lost, why in ((slow, "timeout"), (failing, "status_503"), (large, "too_large")):
        picks.answers["/recommend"] = lost
        began = time.monotonic()
        reply = gateway.client.get("/home", FREE)
        assert time.monotonic() - began < 2.0
        assert (reply.status, reply.json()) == (200, {"profile": {"upstream": "users"}, "_partial": {"picks": why}})
        assert reply.header("x-aggregate-partial") == "picks"


def test_without_a_part_that_is_needed_the_answer_says_which_and_why(gateway: RunningGateway, users: Upstream) -> None:
    lost = {
        "timeout": (Answer(delay=4.0), 504, "part_timeout"),
        "status_500": (Answer(500, body=b'{"secret": 1}'), 502, "part_failed"),
        "too_large": (Answer(body=b'"' + b"x" * 1025 * KIB + b'"'), 502, "part_failed"),
        "not_json": (Answer(body=b'{"a": 1, "a": 2}'), 502, "part_failed"),
    }
    for why, (answer, status, reason) in lost.items():
        users.answers["/users/free-caller"] = answer
        began = time.monotonic()
        reply = gateway.client.get("/home", FREE)
        assert time.monotonic() - began < 3.0
        assert (reply.status, reply.reason) == (status, reason)
        assert (reply.json()["part"], reply.json()["why"]) == ("profile", why)
        assert b"secret" not in reply.body
        record = gateway.decision(reply.id, "ext_proc")
        assert (record["result"], record["reason"], record["facts"]) == (
            "deny",
            reason,
            {"part": "profile", "why": why},
        )


def test_a_part_waits_for_what_it_reads_and_the_answer_is_what_its_expression_makes(
    gateway: RunningGateway, users: Upstream, orders: Upstream
) -> None:
    users.answers["/profile"] = given({"team": "blue & co", "hidden": 1})
    reply = gateway.client.ask("POST", "/composed", FREE, JSON, body=b'{"n": [1, 2]}')
    assert (reply.status, reply.json()) == (200, {"team": "blue & co", "made": {"upstream": "orders"}})
    made = orders.only()
    assert (made.method, made.target, made.header("x-team")) == ("POST", "/teams/blue%20%26%20co", "blue & co")
    assert json.loads(made.body) == {"asked": {"n": [1, 2]}, "by": "free-caller"}
    users.answers["/profile"] = given({"team": "x\r\ny: z"})
    assert gateway.client.ask("POST", "/composed", FREE, JSON, body=b"{}").reason == "part_failed"
    assert len(orders.received) == 1


def test_a_body_that_readers_take_differently_is_refused_and_nobody_is_asked(
    gateway: RunningGateway, users: Upstream
) -> None:
    reply = gateway.client.ask("POST", "/composed", FREE, JSON, body=b'{"n": 1, "n": 2}')
    assert (reply.status, reply.reason, users.received) == (400, "malformed_body", [])


@pytest.mark.parametrize("value", ["", ".", "..", "..%2fadmin", "a%2Fb", "%5c", "%0d%0ax:%20y", "%00", "..%3bx"])
def test_a_value_that_would_lead_elsewhere_reaches_nobody(gateway: RunningGateway, users: Upstream, value: str) -> None:
    reply = gateway.client.get(f"/named?id={value}", FREE)
    assert (reply.status, reply.reason, users.received) == (400, "unfit_request", [])


def test_any_other_value_stays_one_segment(gateway: RunningGateway, users: Upstream) -> None:
    assert gateway.client.get("/named?id=a%3Fb%26c%23d%20%2525", FREE).status == 200
    assert users.only().target == "/named/a%3Fb%26c%23d%20%2525"


def test_lines_come_one_by_one_and_the_last_says_what_is_missing(
    gateway: RunningGateway, users: Upstream, picks: Upstream
) -> None:
    """The slowest takes longer than Envoy waits for one decision (0.5 s)."""
    picks.answers["/recommend"] = Answer(500)
    users.answers["/users/free-caller"] = given({"n": 1}, delay=1.2)
    arrived: list[tuple[float, bytes]] = []
    began = time.monotonic()
    with gateway.client.connected() as connection:
        connection.sendall(request("GET", "/home?q=1", ("host", "a"), FREE, NDJSON))
        while not arrived or not arrived[-1][1].endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            arrived.append((time.monotonic() - began, piece))
    text = b"".join(piece for _, piece in arrived).decode()
    head, lines = text.partition("\r\n\r\n")[0].lower(), [line for line in text.splitlines() if line.startswith("{")]
    assert "http/1.1 200" in head
    assert "content-type: application/x-ndjson" in head
    assert "deprecation: @1790812800" in head
    assert [json.loads(line) for line in lines] == [
        {"part": "orders", "value": {"upstream": "orders"}},
        {"part": "profile", "value": {"n": 1}},
        {"done": True, "missing": {"picks": "status_500"}},
    ]
    first = next(at for at, piece in arrived if b'"orders"' in piece)
    last = next(at for at, piece in arrived if b'"profile"' in piece)
    assert last - first > 0.5, "the first line was there long before the last"


def test_lines_answer_a_request_that_has_a_body_too(gateway: RunningGateway) -> None:
    reply = gateway.client.ask("POST", "/home", FREE, NDJSON, body=b"x" * 200_000)
    assert (reply.status, json.loads(reply.body.splitlines()[-1])) == (200, {"done": True})


def test_lines_that_fail_before_the_first_are_refused_and_later_say_so(
    gateway: RunningGateway, users: Upstream
) -> None:
    users.answers["/users/free-caller"] = Answer(500)
    assert gateway.client.get("/home", FREE, NDJSON).status in (200, 502)
    users.answers["/users/free-caller"] = Answer(500, delay=0.5)
    reply = gateway.client.get("/home", FREE, NDJSON)
    assert reply.status == 200
    last = json.loads(reply.body.splitlines()[-1])
    assert (last["done"], last["problem"]["status"], last["problem"]["part"]) == (False, 502, "profile")


def test_nothing_is_asked_for_whoever_is_not_let_in(gateway: RunningGateway, users: Upstream) -> None:
    assert gateway.client.get("/home").status == 401
    assert gateway.client.get("/guarded", FREE).status == 403
    assert users.received == []
    assert gateway.client.get("/guarded", PREMIUM).status == 200


def test_limits_hold_where_the_ratelimit_filter_judges_them(gateway: RunningGateway, users: Upstream) -> None:
    replies = [gateway.client.get("/limited").status for _ in range(3)]
    assert replies == [200, 429, 429]
    assert len(users.received) == 1


def test_a_part_is_tried_again_by_envoy(gateway: RunningGateway, users: Upstream) -> None:
    users.answers["/flaky"] = Answer(503)
    reply = gateway.client.get("/retried", FREE)
    assert (reply.status, reply.json()["why"]) == (502, "status_503")
    assert len(users.received) == 3


def test_a_head_is_answered_like_a_get_without_its_body(gateway: RunningGateway) -> None:
    reply = gateway.client.ask("HEAD", "/home", FREE)
    assert (reply.status, reply.body) == (200, b"")


def test_whoever_leaves_ends_the_calls(gateway: RunningGateway, users: Upstream) -> None:
    users.answers["/users/free-caller"] = Answer(delay=1.8)
    ended = gateway.stat("http.extproc.egress.downstream_rq_rx_reset")
    with gateway.client.connected() as connection:
        connection.sendall(request("GET", "/home", ("host", "a"), FREE))
        eventually(lambda: users.received, "the part is asked")
    eventually(lambda: gateway.stat("http.extproc.egress.downstream_rq_rx_reset") > ended, "Envoy gave it up", 1.5)


def test_the_socket_is_its_users_and_groups_and_knows_no_other_way(gateway: RunningGateway) -> None:
    (path,) = gateway.folder.glob("extproc-*/egress/envoy.sock")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o770
    asked = {
        404: [("x-extproc-upstream", "users"), ("x-extproc-part", "home/orders")],
        400: [("x-extproc-upstream", "users"), ("x-extproc-part", "home/profile")],
    }
    assert _through(path, "/x", *asked[404]) == 404
    assert _through(path, "/x") == 404
    assert _through(path, "/a%2fb", *asked[400]) == 400


def _through(path: Path, target: str, *fields: tuple[str, str]) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(request("GET", target, ("host", "a"), *fields))
        return int(connection.recv(1024).split(b" ")[1])


def test_no_log_of_envoys_or_ours_has_a_credential(gateway: RunningGateway) -> None:
    reply = gateway.client.get("/home?q=1", FREE)
    gateway.decision(reply.id, "ext_proc")
    written = "".join(file.read_text("utf-8", "replace") for file in gateway.work.glob("*") if file.is_file())
    assert SECRET not in written
    assert FREE_KEY not in written


def test_the_parts_are_in_envoys_access_log_under_the_clients_request(gateway: RunningGateway) -> None:
    reply = gateway.client.get("/home?q=1", FREE)

    def logged() -> set[str] | None:
        found = {one["route"] for one in gateway.access_log() if one.get("request_id") == reply.id}
        return found if len(found) == 4 else None

    assert eventually(logged, "four lines") == {"home", "home/profile", "home/orders", "home/picks"}


def test_many_at_once_are_answered_or_refused_fast_and_nothing_is_asked_twice(
    gateway: RunningGateway, users: Upstream
) -> None:
    """More than may be put together at the same time, each part of which takes a while."""
    users.answers["/users/free-caller"] = given({"n": 1}, delay=0.5)
    with ThreadPoolExecutor(96) as pool:
        replies: list[Reply] = list(pool.map(lambda _: Client(gateway.client.port).get("/home", FREE), range(96)))
    statuses = [reply.status for reply in replies]
    assert set(statuses) <= {200, 503}
    assert {reply.reason for reply in replies if reply.status == 503} <= {"overloaded"}
    assert statuses.count(200) == len(users.received)


def test_an_envoy_that_was_killed_finds_its_socket_again_and_so_does_the_sidecar() -> None:
    """The file of the one before is still there."""
    text = (
        HEAD
        + """
upstreams: {users: {endpoints: ["${USERS}"]}}
routes:
  - {name: home, match: {path: /home}, authenticate: none, aggregate: {profile: {upstream: users, path: /profile}}}
"""
    )
    with started("users") as only, SeparateGateway(text, only) as gateway:
        gateway.sidecar = gateway.start_sidecar()
        eventually((gateway.folder / "egress").is_dir, "the folder is there")
        for _ in range(2):
            envoy = gateway.start_envoy()
            gateway.wait_for_sidecar()
            assert gateway.client.get("/home").json() == {"profile": {"upstream": "users"}}
            envoy.kill()
            envoy.wait(10)


def test_explain_says_what_each_part_would_be_asked(gateway: RunningGateway) -> None:
    explain = [sys.executable, "-m", "extproc", "explain", str(gateway.file), "--path", "/home?q=a%2Fb"]
    command = [*explain, "-H", f"x-api-key: {FREE_KEY}", "--output", "json"]
    environment = {**gateway.environment, "SIDECAR_SOCKETS": str(gateway.folder)}
    told = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert (told["decision"], told["upstream"]) == ("allow", None)
    parts = {part["part"]: part for part in told["parts"]}
    assert {name: part["path"] for name, part in parts.items()} == {
        "profile": "/users/free-caller", "orders": "/orders?user=free-caller&q=a%2Fb", "picks": "/recommend",
    }  # fmt: skip
    assert dict(parts["orders"]["headers"])["x-provider-key"] == "(not shown)"
    assert dict(parts["orders"]["headers"])["x-consumer-id"] == "free-caller"
