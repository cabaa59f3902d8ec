"""Which version of a model answers: the same one for the same caller, and never the client's own choice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

import pytest

from extproc.core.errors import CouldNotDecide
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context, Phase, phases_of
from extproc.core.shares import Shares
from extproc.core.specs import ChooseSpec, ModelsSpec, Version
from extproc.policies.choose import Choose
from extproc.testing import fake_ports
from tests.policies.asking import ANONYMOUS, CALLED, asking, passed

HALVES: Final = (Version("v1", "recommend-v1", 5_000), Version("v2", "recommend-v2", 5_000))
CALLERS: Final = [Context("recommend", Consumer(f"caller-{number}")) for number in range(1_000)]


async def chosen(sticky: str, request: Request, context: Context, versions: tuple[Version, ...] = HALVES) -> str:
    policy = Choose.build(ModelsSpec((ChooseSpec("recommend", versions, sticky),)), fake_ports())
    decision = passed(await policy.on_request(request, context))
    (version,) = (value for name, value in decision.response.set if name == "x-model-version")
    assert decision.upstream == f"recommend-{version}"
    assert (decision.facts["model"], decision.facts["version"]) == ("recommend", version)
    assert not decision.request
    return version


async def test_a_caller_keeps_its_version_whatever_else_it_sends() -> None:
    for caller in CALLERS[:50]:
        requests = [asking({"x-user": str(number)}, stream=str(number)) for number in range(5)]
        assert len({await chosen("consumer", request, caller) for request in requests}) == 1


async def test_what_is_remembered_of_a_caller_is_what_would_be_drawn() -> None:
    policy = Choose.build(ModelsSpec((ChooseSpec("recommend", HALVES, "consumer"),)), fake_ports())
    for _ in range(2):
        for caller in CALLERS[:50]:
            decision = passed(await policy.on_request(asking(), caller))
            assert decision.facts["version"] == await chosen("consumer", asking(), caller)


@dataclass(slots=True)
class Moving:
    """Shares that a test moves."""

    shares: Shares | None = None

    def of(self, model: str) -> Shares | None:
        assert model == "recommend"
        return self.shares


async def test_shares_that_move_are_followed_at_once_and_move_callers_to_the_version_that_grew_alone() -> None:
    table = Moving()
    versions = (Version("v1", "recommend-v1", 10_000), Version("v2", "recommend-v2", 0))
    policy = Choose.build(
        ModelsSpec((ChooseSpec("recommend", versions, "consumer"),)), replace(fake_ports(), shares=table)
    )

    async def of_all() -> list[str]:
        decided = [passed(await policy.on_request(asking(), caller)).facts["version"] for caller in CALLERS]
        return [str(version) for version in decided]

    assert set(await of_all()) == {"v1"}
    table.shares = Shares(1, {"v1": 9_000, "v2": 1_000})
    tenth = await of_all()
    assert 50 < tenth.count("v2") < 150
    table.shares = Shares(2, {"v1": 8_000, "v2": 2_000})
    fifth = await of_all()
    moved = [(then, now) for then, now in zip(tenth, fifth, strict=True) if then != now]
    assert set(moved) == {("v1", "v2")}
    table.shares = None
    assert set(await of_all()) == {"v1"}


async def test_a_version_that_shares_do_not_name_has_none() -> None:
    table = Moving(Shares(1, {"v2": 10_000}))
    policy = Choose.build(ModelsSpec((ChooseSpec("recommend", HALVES, "none"),)), replace(fake_ports(), shares=table))
    chosen = [passed(await policy.on_request(asking(stream=str(number)), CALLED)) for number in range(100)]
    assert {decision.upstream for decision in chosen} == {"recommend-v2"}


async def test_callers_are_shared_out_by_weight() -> None:
    shares = Counter([await chosen("consumer", asking(), caller) for caller in CALLERS])
    assert abs(shares["v1"] - 500) < 80


async def test_a_choice_may_stick_to_a_header() -> None:
    by_header = [
        await chosen("header:x-user", asking({"x-user": caller.consumer.id}), CALLED)
        for caller in CALLERS
        if caller.consumer
    ]
    by_caller = [await chosen("consumer", asking(), caller) for caller in CALLERS]
    assert by_header == by_caller


@pytest.mark.parametrize("sticky", ["none", "header:x-user"])
async def test_without_anything_to_stick_to_every_stream_is_drawn_anew(sticky: str) -> None:
    streams = [asking(stream=f"stream-{number}") for number in range(1_000)]
    shares = Counter([await chosen(sticky, request, CALLED) for request in streams])
    assert abs(shares["v1"] - 500) < 80
    assert await chosen(sticky, streams[0], CALLED) == await chosen(sticky, streams[0], ANONYMOUS)


async def test_sticking_to_a_consumer_that_nobody_knows_decides_nothing() -> None:
    with pytest.raises(CouldNotDecide, match="nobody is known to be asking"):
        await chosen("consumer", asking(), ANONYMOUS)


async def test_the_client_cannot_choose_by_sending_our_headers() -> None:
    forged = {"x-model-version": "v2", "x-extproc-cluster": "upstream.recommend-v2", "x-consumer-id": "other"}
    for caller in CALLERS[:100]:
        assert await chosen("consumer", asking(forged), caller) == await chosen("consumer", asking(), caller)


async def test_a_version_without_weight_is_not_chosen() -> None:
    off = (Version("v1", "recommend-v1", 10_000), Version("v2", "recommend-v2", 0))
    assert {await chosen("consumer", asking(), caller, off) for caller in CALLERS} == {"v1"}


def test_it_needs_the_request_only() -> None:
    assert phases_of(Choose, None) == {Phase.REQUEST}


def test_upstreams_of_a_model_are_named_once_each() -> None:
    versions = (*HALVES, Version("v3", "recommend-v1", 0))
    assert ChooseSpec("recommend", versions, "none").upstreams == ("recommend-v1", "recommend-v2")
