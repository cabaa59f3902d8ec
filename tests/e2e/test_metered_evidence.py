"""Tokens of metered answers, whole and streamed, by version and by consumer: what the bodies say, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.commands import extproc
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, SeparateGateway, eventually, fetch
from tests.e2e.upstreams import Answer, started

pytestmark = pytest.mark.e2e

TOKEN = "the admin token"
GATEWAY = (
    HEAD.replace('keys.yaml"}}', 'keys.yaml", quotas: "file:quotas.sqlite"}, usage: {keep: 2d}}')
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {free: {tokens: 1000000/day}}
models: {chat: {versions: {only: {upstream: main, weight: 100}}}}
defaults: {authenticate: partners, limits: [tier], meter: openai}
routes:
  - {name: whole, match: {path: /whole}, model: chat}
  - {name: streamed, match: {path: /streamed}, model: chat, stream: true}
"""
)
WHOLE = json.dumps({"choices": [], "usage": {"total_tokens": 30}}).encode()
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n',
    b'data: {"choices":[],"usage":{"total_tokens":12}}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[SeparateGateway]:
    with started("main") as (main,), SeparateGateway(GATEWAY, [main]) as running:
        # A header that a limit does not name is no number of tokens, and neither is one where answers are metered.
        main.answers["/whole"] = Answer(fields=(("content-type", "application/json"), ("x-tokens", "99")), body=WHOLE)
        main.answers["/streamed"] = Answer(
            fields=(("content-type", "text/event-stream"),), chunks=tuple((0.0, event) for event in EVENTS)
        )
        running.environment["EXTPROC_ADMIN_TOKEN"] = TOKEN
        running.start_sidecar()
        running.start_envoy()
        running.wait_for_sidecar()
        for path in ("/whole", "/whole", "/streamed"):
            assert running.client.ask("POST", path, FREE, body=b"{}").status == 200
        yield running


def test_evidence_of_a_version_has_the_tokens_of_its_bodies(gateway: SeparateGateway) -> None:
    url = f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/evidence?model=chat&window=900"

    def told() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(fetch(url, TOKEN))["versions"].get("only", {})
        return found if found.get("requests") == 3 and found["tokens"] >= 72 else None

    found = eventually(told, "three requests and their tokens")
    assert (found["requests"], found["errors"], found["tokens"]) == (3, 0, 72)


def test_usage_has_them_by_consumer_and_version(gateway: SeparateGateway) -> None:
    def told() -> list[dict[str, Any]] | None:
        ended = extproc(
            "usage", "--by-model", "--output", "json", folder=gateway.folder, environment=gateway.environment
        )
        found: list[dict[str, Any]] = json.loads(ended.output)["usage"]
        return found if sum(one["requests"] for one in found) == 3 and sum(one["tokens"] for one in found) else None

    (found,) = eventually(told, "usage of three requests")
    assert (found["consumer"], found["model"], found["version"]) == ("free-caller", "chat", "only")
    assert (found["requests"], found["tokens"]) == (3, 72)
