"""Policies of the user's own, in a folder beside the gateway file, through the real Envoy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

POLICIES: Final = '''
import json
from dataclasses import dataclass
from typing import ClassVar

from extproc import (
    CONTINUE, Context, Continue, CouldNotDecide, Decision, HeaderEdits, LocalReply, Phase, Policy, Ports, Request,
    Response, Settings, refusal,
)


COOKIES = (("set-cookie", "a=1"), ("set-cookie", "b=2; Path=/"), ("x-more", "1"), ("set-cookie", "c=3"))


class NoSettings(Settings):
    """Nothing to say."""


class WordSettings(Settings):
    word: str


@dataclass(frozen=True)
class NeedsWord(Policy):
    word: str
    name: ClassVar[str] = "needs_word"
    Settings: ClassVar[type[WordSettings]] = WordSettings
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings, ports):
        return NeedsWord(settings.word)

    async def on_request(self, request: Request, context: Context) -> Decision:
        if request.headers.get("x-word") == self.word:
            who = context.consumer.id if context.consumer else "nobody"
            return Continue(request=HeaderEdits(set=(("x-greeted", who),)), facts={"word": "said"})
        return refusal(403, "no_word", "say the word")


class Breaks(Policy):
    name = "breaks"
    Settings = NoSettings
    phases = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings, ports):
        return Breaks()

    async def on_request(self, request, context):
        if request.headers.get("x-word") == "cookies":
            return LocalReply(403, "cookies", COOKIES)
        raise RuntimeError(request.headers.get("x-word"))


class Counts(Policy):
    name = "counts"
    Settings = NoSettings
    phases = frozenset({Phase.RESPONSE_BODY})

    @staticmethod
    def build(settings, ports):
        return Counts()

    async def on_response(self, response, request, context):
        if response.status == 418:
            return LocalReply(502, "teapot", COOKIES)
        size = str(len(response.body or b""))
        return Continue(response=HeaderEdits(set=(("x-size", size),)), body=json.dumps({"size": size}).encode())
'''
GATEWAY: Final = (
    HEAD
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}}
defaults: {authenticate: none}
routes:
  - {name: words, match: {path: /words}, upstream: only, authenticate: partners,
     policies: [{use: needs_word, word: please}]}
  - {name: open, match: {path: /open}, upstream: only, policies: [{use: needs_word, word: please}]}
  - {name: breaks, match: {path: /breaks}, upstream: only, policies: [{use: breaks}]}
  - {name: counts, match: {path: /counts}, upstream: only, policies: [{use: counts}]}
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def only() -> Iterator[Upstream]:
    with started("only") as (found,):
        yield found


@pytest.fixture(scope="module")
def gateway(only: Upstream) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, [only])
    (made.folder / "policies").mkdir()
    (made.folder / "policies" / "mine.py").write_text(POLICIES)
    with made as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(only: Upstream) -> None:
    only.clear()


def test_it_refuses_in_its_own_words_and_the_upstream_gets_nothing(gateway: RunningGateway, only: Upstream) -> None:
    reply = gateway.client.get("/words", FREE, ("x-word", "now"))
    assert (reply.status, reply.reason) == (403, "no_word")
    assert only.received == []
    assert gateway.decision(reply.id)["steps"][-1]["policy"] == "needs_word"


def test_it_allows_and_the_upstream_sees_its_edit(gateway: RunningGateway, only: Upstream) -> None:
    reply = gateway.client.get("/words", FREE, ("x-word", "please"), ("x-greeted", "forged"))
    assert reply.status == 200
    (received,) = only.received
    assert received.all("x-greeted") == ["free-caller"]
    assert gateway.decision(reply.id)["facts"] == {"word": "said"}


def test_it_judges_routes_that_nobody_needs_a_credential_for(gateway: RunningGateway, only: Upstream) -> None:
    assert gateway.client.get("/open").status == 403
    assert gateway.client.get("/open", ("x-word", "please")).status == 200
    assert only.received[0].all("x-greeted") == ["nobody"]


def test_one_that_raises_refuses_and_its_words_are_nobodys_to_read(gateway: RunningGateway, only: Upstream) -> None:
    reply = gateway.client.get("/breaks", ("x-word", "hunter2"))
    assert (reply.status, reply.reason) == (500, "policy_failed")
    assert only.received == []
    record = gateway.decision(reply.id)
    assert record["result"] == "error"
    assert "mine.py" in record["detail"]
    assert "hunter2" not in json.dumps(record) + gateway.output()


def test_it_edits_an_answer_that_it_was_shown(gateway: RunningGateway, only: Upstream) -> None:
    reply = gateway.client.get("/counts")
    assert reply.status == 200
    assert reply.json() == {"size": reply.header("x-size")}
    assert int(reply.header("x-size") or 0) > 0


def test_a_reply_of_its_own_sets_every_cookie_in_either_phase(gateway: RunningGateway, only: Upstream) -> None:
    only.answers["/counts"] = Answer(418, (JSON, ("set-cookie", "upstream=1")))
    for reply in (gateway.client.get("/counts"), gateway.client.get("/breaks", ("x-word", "cookies"))):
        assert reply.status in (502, 403)
        assert reply.all("set-cookie") == ["a=1", "b=2; Path=/", "c=3"]
        assert reply.all("x-more") == ["1"]
