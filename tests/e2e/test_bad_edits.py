"""What a policy may not do to a request or an answer is refused in the sidecar (ACCEPTANCE 30 and 31)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.harness import HEAD, RunningGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

POLICIES: Final = '''
from extproc import Continue, HeaderEdits, LocalReply, Phase, Policy, Settings

MANY = tuple((f"x-{number}", "1") for number in range(101))
HALF = tuple((f"x-{number}", "1") for number in range(51))
CASES = {
    "space": lambda: Continue(request=HeaderEdits(set=(("a b", "1"),))),
    "upper case": lambda: Continue(request=HeaderEdits(set=(("X-A", "1"),))),
    "line end in a name": lambda: Continue(request=HeaderEdits(set=(("x-a\\r\\nx-b", "1"),))),
    "carriage return": lambda: Continue(request=HeaderEdits(set=(("x-a", "1\\rx-b: 2"),))),
    "line feed": lambda: Continue(request=HeaderEdits(set=(("x-a", "1\\nx-b: 2"),))),
    "line end towards the client": lambda: Continue(response=HeaderEdits(set=(("x-a", "1\\r\\nset-cookie: b"),))),
    "nul": lambda: Continue(request=HeaderEdits(set=(("x-a", "1\\x00"),))),
    "path": lambda: Continue(request=HeaderEdits(set=((":path", "/admin"),))),
    "authority": lambda: Continue(request=HeaderEdits(set=((":authority", "admin"),))),
    "host": lambda: Continue(request=HeaderEdits(set=(("host", "admin"),))),
    "removed host": lambda: Continue(request=HeaderEdits(remove=("host",))),
    "envoy": lambda: Continue(request=HeaderEdits(set=(("x-envoy-upstream-rq-timeout-ms", "1"),))),
    "length": lambda: Continue(request=HeaderEdits(set=(("content-length", "0"),))),
    "framing": lambda: Continue(request=HeaderEdits(set=(("transfer-encoding", "chunked"),))),
    "identity": lambda: Continue(request=HeaderEdits(set=(("x-consumer-id", "root"),))),
    "token": lambda: Continue(request=HeaderEdits(set=(("x-consumer-token", "a.b.c"),))),
    "cluster": lambda: Continue(request=HeaderEdits(set=(("x-extproc-cluster", "upstream.other"),))),
    "101 headers": lambda: Continue(request=HeaderEdits(set=MANY)),
    "101 headers towards the client": lambda: Continue(response=HeaderEdits(set=MANY)),
    "61 KiB": lambda: Continue(request=HeaderEdits(set=(("x-a", "v" * 61 * 1024),))),
    "61 KiB towards the client": lambda: Continue(response=HeaderEdits(set=(("x-a", "v" * 61 * 1024),))),
    "refusal of 65 KiB": lambda: LocalReply(403, "no", body=b"x" * 65 * 1024),
    "refusal with 101 headers": lambda: LocalReply(403, "no", headers=MANY),
    "refusal with a line end": lambda: LocalReply(403, "no", headers=(("x-a", "1\\r\\nset-cookie: b"),)),
    "two halves": lambda: Continue(request=HeaderEdits(set=HALF)),
}


class CaseSettings(Settings):
    """Nothing to say."""


class Tries(Policy):
    name = "tries"
    Settings = CaseSettings
    phases = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings, ports):
        return Tries()

    async def on_request(self, request, context):
        return CASES[request.headers.get("x-case")]()


class OtherHalf(Policy):
    name = "other_half"
    Settings = CaseSettings
    phases = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings, ports):
        return OtherHalf()

    async def on_request(self, request, context):
        return Continue(request=HeaderEdits(set=tuple((f"y-{number}", "1") for number in range(50))))
'''
GATEWAY: Final = (
    HEAD
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}, other: {endpoints: ["${OTHER}"]}}
defaults: {authenticate: none}
routes:
  - {name: tries, match: {path: /tries}, upstream: only, policies: [{use: tries}]}
  - {name: both, match: {path: /both}, upstream: only, policies: [{use: tries}, {use: other_half}]}
  - {name: elsewhere, match: {path_prefix: /}, upstream: other, authenticate: partners}
"""
)
REFUSED: Final = [
    "space", "upper case", "line end in a name", "carriage return", "line feed", "line end towards the client", "nul",
    "path", "authority", "host", "removed host", "envoy", "length", "framing", "identity", "token", "cluster",
    "101 headers", "101 headers towards the client", "61 KiB", "61 KiB towards the client", "refusal of 65 KiB",
    "refusal with 101 headers", "refusal with a line end",
]  # fmt: skip


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("only", "other") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    made = RunningGateway(GATEWAY, upstreams)
    (made.folder / "policies").mkdir()
    (made.folder / "policies" / "mine.py").write_text(POLICIES)
    with made as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: list[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()


@pytest.mark.parametrize("case", REFUSED)
def test_an_edit_that_nobody_may_make_is_refused_in_the_sidecar(
    gateway: RunningGateway, upstreams: list[Upstream], case: str
) -> None:
    reply = gateway.client.get("/tries", ("x-case", case))
    assert (reply.status, reply.reason) == (500, "invalid_mutation")
    assert [upstream.received for upstream in upstreams] == [[], []]
    assert reply.all("set-cookie") == []
    record = gateway.decision(reply.id)
    assert (record["result"], record["policy"]) == ("error", "tries")


def test_two_policies_may_not_make_together_what_one_may_not(
    gateway: RunningGateway, upstreams: list[Upstream]
) -> None:
    """51 headers are fine, and 50 more are one too many."""
    assert gateway.client.get("/tries", ("x-case", "two halves")).status == 200
    reply = gateway.client.get("/both", ("x-case", "two halves"))
    assert (reply.status, reply.reason) == (500, "invalid_mutation")
    assert len(upstreams[0].received) == 1
