"""What an upstream gets of a part's call besides the call itself, and how many requests may make theirs at once."""

from __future__ import annotations

import pytest

from extproc.app.egress import Egress
from extproc.core.errors import Overloaded
from extproc.core.handover import Handover, UpstreamCredential
from extproc.core.message import Consumer
from extproc.core.ports import Answer, Call
from extproc.core.specs import PartSpec

ACME = Consumer("acme", "free", ("orders:read",), groups=("staff",))
PART = PartSpec("orders", "Orders", "/")


class Signs:
    def token(self, consumer: Consumer, upstream: str) -> str:
        return f"{consumer.id} for {upstream}"


class Sends:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def send(self, call: Call) -> Answer:
        self.calls.append(call)
        return Answer(200)


async def sent(handover: Handover, consumer: Consumer | None, *fields: tuple[str, str]) -> dict[str, str]:
    fetch = Sends()
    await Egress(fetch, {"home/orders": handover}).send("home", PART, Call("/x", headers=fields), consumer)
    (call,) = fetch.calls
    assert len(call.headers) == len(dict(call.headers)), "no header twice"
    return dict(call.headers)


WAY = {"x-extproc-upstream": "^orders", "x-extproc-part": "home/orders"}
WHO = {
    "x-consumer-id": "acme", "x-consumer-tier": "free", "x-consumer-scopes": "orders:read",
    "x-consumer-groups": "staff",
}  # fmt: skip


async def test_an_upstream_is_told_who_is_asking_as_on_any_route() -> None:
    assert await sent(Handover("Orders"), ACME, ("x-a", "1")) == {"x-a": "1", **WHO, **WAY}
    assert await sent(Handover("Orders"), None) == WAY


async def test_a_token_is_signed_for_the_parts_own_upstream() -> None:
    fields = await sent(Handover("Orders", Signs()), ACME)
    assert fields["x-consumer-token"] == "acme for Orders"


async def test_an_upstreams_own_credential_wins_over_what_a_part_says() -> None:
    shown = Handover("Orders", credentials={"Orders": UpstreamCredential("authorization", "Bearer own")})
    assert (await sent(shown, None, ("authorization", "Bearer clients")))["authorization"] == "Bearer own"


def test_beyond_the_bound_a_request_is_refused_at_once_and_let_in_when_another_has_ended() -> None:
    egress = Egress(Sends(), {}, at_once=1)
    with egress.entered(), pytest.raises(Overloaded) as refused, egress.entered():
        pass
    assert (refused.value.reason, refused.value.status) == ("overloaded", 503)
    with pytest.raises(KeyError), egress.entered():
        raise KeyError
    with egress.entered():
        pass
