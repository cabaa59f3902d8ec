"""docs/evidence.md: its gateway runs, its examples are what that says and takes, and its numbers are the code's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from extproc.app.evidence import SAVE_EVERY
from extproc.core.evidence import GRAINS, LATENCY_BOUNDS, STEPS_OF_TWO
from extproc.core.evidence_gathering import MOST
from extproc.core.feedback import EARLY, MOST_ANSWERS_A_SECOND, MOST_OF_ONE, WITHIN
from tests.cli.commands import extproc
from tests.docs.blocks import ROOT, blocks
from tests.e2e.credentials import FREE, PREMIUM
from tests.e2e.harness import SeparateGateway, eventually, fetch
from tests.e2e.upstreams import Answer, started

PAGE: Final = ROOT / "docs" / "evidence.md"
TEXT: Final = " ".join(PAGE.read_text("utf-8").split())
(WRITTEN,) = (block.text for block in blocks(PAGE) if block.language == "yaml")
TOLD, SAID = (json.loads(block.text) for block in blocks(PAGE) if block.language == "json")
TOKEN: Final = "the admin token"


@pytest.fixture(scope="module")
def gateway() -> Iterator[SeparateGateway]:
    with started("chat_v1", "chat_v2") as upstreams, SeparateGateway(WRITTEN, upstreams) as running:
        running.environment["EXTPROC_ADMIN_TOKEN"] = TOKEN
        running.start_sidecar()
        for upstream in upstreams:
            upstream.answers["/chat/usage"] = Answer(fields=(("x-tokens-used", "7"),))
        running.start_envoy()
        running.wait_for_sidecar()
        yield running


def evidence(gateway: SeparateGateway) -> dict[str, Any]:
    address = f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}"
    (path,) = re.findall(r"`GET (/evidence\S+)`", TEXT)
    found: dict[str, Any] = json.loads(fetch(address + path, TOKEN))
    return found


@pytest.mark.e2e
def test_the_examples_are_what_the_gateway_says_and_takes(gateway: SeparateGateway) -> None:
    asked = gateway.client.get("/chat", FREE)
    body = json.dumps({**SAID, "request_id": asked.id}).encode()
    assert gateway.client.ask("POST", "/feedback", FREE, body=body).status == 202
    version = asked.header("x-model-version")

    def scored() -> dict[str, Any] | None:
        told = evidence(gateway)
        return told if told["versions"].get(version, {}).get("scores") else None

    told = eventually(scored, "the score is counted")
    assert list(told) == list(TOLD)
    assert list(told["versions"][version]) == list(TOLD["versions"]["v1"])
    assert told["versions"][version]["mean_score"] == SAID["score"]


@pytest.mark.e2e
def test_usage_is_told_by_version_as_the_page_says(gateway: SeparateGateway) -> None:
    version = gateway.client.get("/chat/usage", PREMIUM).header("x-model-version")

    def told() -> dict[str, Any] | None:
        asked = ("usage", "--by-model", "--by-route", "--consumer", "premium-caller", "--output", "json")
        ended = extproc(*asked, folder=gateway.folder, environment=gateway.environment)
        assert ended.code == 0, ended.errors
        return next(iter(json.loads(ended.output)["usage"]), None)

    used = eventually(told, "usage is saved")
    assert (used["route"], used["model"], used["version"], used["requests"]) == ("chat", "chat", version, 1)
    assert used["tokens"] == 7


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    assert [grain.seconds for grain in GRAINS] == [1, 60, 3_600]
    assert [grain.kept for grain in GRAINS] == [15 * 60, 86_400, 14 * 86_400]
    assert (WITHIN, EARLY, SAVE_EVERY) == (15 * 60, 10.0, 1.0)
    assert f"Of a consumer {MOST_OF_ONE} scores in a minute" in TEXT
    assert f"at most {MOST_ANSWERS_A_SECOND} requests in a second" in TEXT
    assert f"up to {MOST:_} sums wait".replace("_", " ") in TEXT
    assert MOST // 2 // 60 == 41
    assert LATENCY_BOUNDS[0] == 0.001
    assert LATENCY_BOUNDS[-1] > 300
    assert 2 ** (0.5 / STEPS_OF_TWO) < 1.091


def test_every_metric_that_the_page_names_is_on_the_page_of_metrics() -> None:
    metrics = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    named = set(re.findall(r"`(extproc_\w+)`", TEXT))
    assert named
    assert [name for name in named if f"`{name}`" not in metrics] == []
