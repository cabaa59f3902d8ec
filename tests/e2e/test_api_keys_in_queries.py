"""API keys in query parameters, through the real Envoy: one key a request, and none before the upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest

from extproc.app.explain import explain
from extproc.app.project import read_project
from extproc.core.headers import Headers
from extproc.core.message import Request
from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, FREE_KEY, PREMIUM_KEY, bearer
from tests.e2e.harness import HEAD, RunningGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY: Final = (
    HEAD.replace("{api_key: {header: x-api-key}}", "{api_key: {query: apikey}}")
    + """
  others: {api_key: {header: x-other-key, query: other}}
upstreams: {guarded: {endpoints: ["${GUARDED}"]}}
defaults: {authenticate: [company, partners], limits: []}
routes:
  - {name: beta, match: {path_prefix: /, query: {beta: present}}, upstream: guarded}
  - {name: all, match: {path_prefix: /}, upstream: guarded}
"""
)
SEVERAL: Final = "several_credentials"


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("guarded") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.mark.parametrize(
    "target",
    [
        "/x?apikey={}", "/x?apikey={}&b=2&a=1", "/x?z&apikey={}&a=%26&&y=", "/x?a=2&a=1&apikey={}&A=3&%61=4",
        "/x?beta=1&apikey={}", "/x?apikey={}&q=a+b%20c",
    ],
)  # fmt: skip
def test_the_upstream_gets_the_query_without_the_key_as_explain_says(
    gateway: RunningGateway, upstreams: list[Upstream], target: str
) -> None:
    sent = target.format(FREE_KEY)
    upstreams[0].clear()
    answer = gateway.client.get(sent)
    assert answer.status == 200
    received = upstreams[0].only()
    assert FREE_KEY not in received.target + str(received.fields)
    assert received.header("x-consumer-id") == "free-caller"
    assert received.target == explained(gateway, sent)
    record = gateway.decision(answer.id)
    assert record["route"] == ("beta" if "beta" in target else "all")
    assert FREE_KEY not in str(record)


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        (f"/x?apikey={FREE_KEY}", (FREE,), SEVERAL),
        (f"/x?apikey={PREMIUM_KEY}", (FREE,), SEVERAL),
        ("/x?apikey=", (FREE,), SEVERAL),
        ("/x?apikey", (FREE,), SEVERAL),
        (f"/x?%61pikey={PREMIUM_KEY}", (FREE,), SEVERAL),
        (f"/x?apikey={FREE_KEY}&apikey={FREE_KEY}", (), SEVERAL),
        (f"/x?apikey={FREE_KEY}&a%70ikey={PREMIUM_KEY}", (), SEVERAL),
        (f"/x?apikey={FREE_KEY}", (bearer(),), SEVERAL),
        (f"/x?other={FREE_KEY}", (FREE,), SEVERAL),
        ("/x", (FREE, FREE), SEVERAL),
        ("/x", (FREE, ("x-other-key", FREE_KEY)), SEVERAL),
        (f"/x?%61pikey={FREE_KEY}", (), "unknown_api_key"),
        (f"/x?APIKEY={FREE_KEY}", (), "no_credentials"),
        ("/x?apikey=", (), "unknown_api_key"),
    ],
)
def test_two_keys_in_a_request_or_none_are_refused(
    gateway: RunningGateway, upstreams: list[Upstream], target: str, fields: tuple[Field, ...], reason: str
) -> None:
    upstreams[0].clear()
    answer = gateway.client.get(target, *fields)
    assert (answer.status, answer.reason) == (401, reason)
    assert upstreams[0].received == []


def test_a_query_in_which_no_key_was_is_left_as_it_is(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    upstreams[0].clear()
    assert gateway.client.get("/x?z&b=2&a", FREE).status == 200
    assert upstreams[0].only().target == "/x?z&b=2&a"


def test_no_log_of_envoys_or_ours_has_the_key(gateway: RunningGateway) -> None:
    answer = gateway.client.get(f"/x?apikey={FREE_KEY}")
    gateway.decision(answer.id)
    logs = [file.read_text("utf-8", "replace") for file in gateway.work.iterdir() if file.suffix in (".jsonl", ".log")]
    assert logs
    assert FREE_KEY not in "".join(logs) + gateway.output()


def explained(gateway: RunningGateway, target: str) -> str:
    path, _, query = target.partition("?")
    request = Request("GET", path, "gateway.test", query, headers=Headers(), address="127.0.0.1")
    said = asyncio.run(
        explain(read_project(gateway.file, {**gateway.environment, "SIDECAR_SOCKETS": "/run/extproc"}), request)
    )
    assert said.upstream is not None
    return said.upstream.path
