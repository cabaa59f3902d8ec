"""`extproc simulate` over the log of a run through the real Envoy: what was refused is refused again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import extproc
from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {free: {rate: 30/s, burst: 5, quota: 40/minute}, premium: {rate: 60/s, burst: 3}}
defaults: {authenticate: none, limits: []}
routes:
  - {name: address, match: {path: /address}, upstream: main, limits: [{per: address, rate: 40/s, burst: 4}]}
  - {name: tier, match: {path: /tier}, upstream: main, authenticate: [company, partners], limits: [tier]}
  - name: both
    match: {path: /both}
    upstream: main
    authenticate: [company, partners]
    limits: [tier, {per: route, sliding: 30/s}, {per: 'cel:request.path', rate: 50/s}]
  - """
    + FENCE
)
ASKED: tuple[tuple[str, tuple[Field, ...]], ...] = (
    ("/address", ()), ("/tier", (FREE,)), ("/tier", (PREMIUM,)), ("/both", (FREE,)), ("/both", (PREMIUM,)),
    ("/both", (bearer("token-caller"),)), ("/tier", ()),
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with started("main") as upstreams, RunningGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.fixture(scope="module")
def log(gateway: RunningGateway) -> list[dict[str, Any]]:
    """What was written of seven hundred requests, of which eight are always under way."""
    with gateway.watched(), ThreadPoolExecutor(8) as pool:
        for reply in [pool.submit(gateway.client.get, path, *fields) for path, fields in ASKED * 100]:
            reply.result()
    return gateway.decisions()


def simulated(gateway: RunningGateway, *more: str) -> dict[str, Any]:
    log = gateway.work / "decisions.jsonl"
    asked: tuple[str | Path, ...] = ("simulate", gateway.file, "--traffic", log, "--output", "json", *more)
    ended = extproc(*asked, folder=gateway.folder, environment={**gateway.environment, "SIDECAR_SOCKETS": "/tmp"})
    assert (ended.code, ended.errors) == (0, "")
    told: dict[str, Any] = json.loads(ended.output)
    return told


def rows(told: dict[str, Any], which: str) -> dict[tuple[str, str], int]:
    return {(row["consumer"], row["limit"]): row[which] for row in told["limits"] if row[which]}


def test_an_unchanged_file_refuses_exactly_what_the_gateway_refused(
    gateway: RunningGateway, log: list[dict[str, Any]]
) -> None:
    refused = Counter(
        (record.get("consumer") or record["address"], record["facts"]["limit"])
        for record in log
        if record["reason"] == "rate_limited"
    )
    assert len(refused) > 3
    assert refused.total() > 100
    told = simulated(gateway)
    assert rows(told, "refused_before") == rows(told, "refused_after") == dict(refused)
    assert told["traffic"]["judged"] == sum(record["result"] == "allow" for record in log) + refused.total()


def test_a_wider_limit_would_have_refused_less_and_a_narrower_one_more(
    gateway: RunningGateway, log: list[dict[str, Any]]
) -> None:
    assert log
    before = rows(simulated(gateway), "refused_before")
    wide = ("tiers.free={rate: 9000/s}", "tiers.premium={rate: 9000/s}", "routes.both.limits=[tier]")
    told = simulated(gateway, *(part for change in wide for part in ("--set", change)))
    assert {limit for _, limit in rows(told, "refused_after")} == {"address-0"}
    told = simulated(gateway, "--set", "routes.address.limits[0].burst=1")
    assert rows(told, "refused_after")["127.0.0.1", "address-0"] > before["127.0.0.1", "address-0"]
