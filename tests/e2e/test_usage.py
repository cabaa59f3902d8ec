"""Who used how much, as Envoy's access log told of it: asked of the file and of the running sidecar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.commands import extproc
from tests.e2e.credentials import FREE, PREMIUM
from tests.e2e.harness import HEAD, SeparateGateway, eventually
from tests.e2e.upstreams import Answer, started

pytestmark = pytest.mark.e2e

TOKEN = "the admin token"
GATEWAY = (
    HEAD.replace('keys.yaml"}}', 'keys.yaml", quotas: "file:quotas.sqlite"}, usage: {keep: 2d}}')
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {free: {rate: 2/day}, premium: {tokens: 1000000/day, reserve: '10', settle: x-tokens-used}}
defaults: {authenticate: partners, limits: [tier]}
routes:
  - {name: chat, match: {path: /chat}, upstream: main}
  - {name: other, match: {path: /other}, upstream: main}
  - {name: open, match: {path: /open}, upstream: main, authenticate: none, limits: []}
"""
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[SeparateGateway]:
    with started("main") as upstreams, SeparateGateway(GATEWAY, upstreams) as running:
        running.environment["EXTPROC_ADMIN_TOKEN"] = TOKEN
        running.start_sidecar()
        running.start_envoy()
        running.wait_for_sidecar()
        for _ in range(3):
            running.client.get("/chat", FREE)
        for path in ("/chat", "/other", "/other"):
            running.client.ask("POST", path, PREMIUM, body=b"x" * 5_000)
        for path in ("/open", "/chat", "/nowhere"):
            running.client.get(path)
        yield running


def asked(gateway: SeparateGateway, *more: str) -> list[dict[str, Any]]:
    ended = extproc("usage", "--output", "json", *more, folder=gateway.folder, environment=gateway.environment)
    assert (ended.code, ended.errors) == (0, "")
    told: list[dict[str, Any]] = json.loads(ended.output)["usage"]
    return told


def complete(gateway: SeparateGateway, *more: str) -> list[dict[str, Any]]:
    """As soon as everything has been told, which is some seconds later."""

    def told() -> list[dict[str, Any]] | None:
        found = asked(gateway, *more)
        return found if sum(one["requests"] for one in found) == 9 else None

    return eventually(told, "usage of nine requests")


def of_admin(gateway: SeparateGateway) -> tuple[str, ...]:
    return ("--admin", f"127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}", "--token", TOKEN)


def test_a_consumers_requests_bytes_and_answers_are_summed_up(gateway: SeparateGateway) -> None:
    told = {one["consumer"]: one for one in complete(gateway)}
    assert set(told) == {"free-caller", "premium-caller", ""}
    assert told["free-caller"]["status"] == {"2xx": 2, "4xx": 1}
    assert told["free-caller"]["tier"] == "free"
    assert told["premium-caller"]["status"] == {"2xx": 3}
    assert told["premium-caller"]["bytes_in"] > 15_000
    assert told["premium-caller"]["bytes_out"] > 0
    assert told[""]["requests"] == 3


def test_by_route_they_are_told_apart(gateway: SeparateGateway) -> None:
    complete(gateway)
    told = asked(gateway, "--by-route", "--consumer", "premium-caller")
    assert [(one["route"], one["requests"]) for one in told] == [("other", 2), ("chat", 1)]


def test_a_running_sidecar_tells_the_same(gateway: SeparateGateway) -> None:
    assert complete(gateway, *of_admin(gateway)) == complete(gateway)


def test_only_the_bearer_of_the_admin_token_is_told(gateway: SeparateGateway) -> None:
    address = f"127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}"
    ended = extproc("usage", "--admin", address, "--token", "another", folder=gateway.folder)
    assert ended.code == 3
    assert "401" in ended.errors


def test_for_people_it_is_a_table(gateway: SeparateGateway) -> None:
    complete(gateway)
    wide = {**gateway.environment, "COLUMNS": "200"}
    ended = extproc("usage", "--since", "1h", folder=gateway.folder, environment=wide)
    (row,) = [line.split() for line in ended.output.splitlines() if "premium-caller" in line]
    assert row[:7] == ["premium-caller", "premium", "3", "3", "0", "0", "0"]


def test_no_decision_waits_for_it(gateway: SeparateGateway) -> None:
    """Nothing of it is a call: what a request costs is what it cost without."""
    described = extproc("plan", "gateway.yaml", "-o", "json", folder=gateway.folder, environment=gateway.environment)
    told = json.loads(described.output)
    assert told["usage"] == "2d"
    assert [route["calls"] for route in told["routes"]] == [1, 1, 0]


METERED = GATEWAY.replace("path: /chat}, upstream: main}", "path: /chat}, upstream: main, meter: openai}")


def test_tokens_are_counted_from_the_bodies_of_metered_answers() -> None:
    """Of whole answers and of streams, one of which says no usage; an error comes to none."""
    events = "text/event-stream"
    said = (
        b'data: {"choices":[{"delta":{"content":"abcd"}}]}\n\ndata: {"usage":{"total_tokens":30}}\n\ndata: [DONE]\n\n'
    )
    unsaid = b'data: {"choices":[{"delta":{"content":"abcdabcd"}}]}\n\ndata: [DONE]\n\n'
    answers = [
        (Answer(body=b'{"usage":{"total_tokens":1000}}'), 1_000),
        (Answer(fields=(("content-type", events),), body=said), 30),
        (Answer(fields=(("content-type", events),), body=unsaid), 2),
        (Answer(status=500, body=b'{"usage":{"total_tokens":7}}'), 0),
    ]
    with started("main") as upstreams, SeparateGateway(METERED, upstreams) as running:
        running.start_sidecar()
        running.start_envoy()
        running.wait_for_sidecar()
        for answer, _ in answers:
            upstreams[0].answers["/chat"] = answer
            running.client.get("/chat", PREMIUM)

        def told() -> list[dict[str, Any]] | None:
            found = asked(running, "--by-route")
            return found if sum(one["requests"] for one in found) == len(answers) else None

        (row,) = eventually(told, "usage of four requests")
        assert (row["consumer"], row["route"], row["status"]) == ("premium-caller", "chat", {"2xx": 3, "5xx": 1})
        assert row["tokens"] == sum(tokens for _, tokens in answers)
