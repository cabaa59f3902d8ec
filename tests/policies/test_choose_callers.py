"""Who has a say in which version answers: tiers, a pin, rules, and what a choice sticks to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Final

import pytest

from extproc.core.decision import Continue, LocalReply
from extproc.core.errors import CouldNotDecide
from extproc.core.message import Consumer, Request
from extproc.core.models import Cohort, Compare, Fallback, Pin, Shadow
from extproc.core.policy import Context, Policy
from extproc.core.specs import ChooseSpec, ModelsSpec, Version
from extproc.policies.choose import Choose
from extproc.testing import fake_ports
from tests.policies.asking import asking, passed, refused

V1, V2, V3 = Version("v1", "one", 6_000), Version("v2", "two", 4_000), Version("v3", "three", 0)
SPEC: Final = ChooseSpec("recommend", (V1, V2, V3), "consumer")
PIN: Final = Pin("x-model-version", ("premium", "staff"))
CALLERS: Final = range(400)


def choosing(spec: ChooseSpec, chance: float = 0.0) -> Policy:
    return Choose.build(ModelsSpec((spec,)), replace(fake_ports(), chance=lambda: chance))


def of(tier: str | None, name: str = "acme", **fields: Any) -> Context:
    return Context("recommend", Consumer(name, tier, **fields))


async def decided(spec: ChooseSpec, context: Context, request: Request | None = None) -> Continue:
    return passed(await choosing(spec).on_request(request or asking(), context))


async def denied(spec: ChooseSpec, context: Context, request: Request | None = None) -> tuple[int, str]:
    return refused(await choosing(spec).on_request(request or asking(), context))


async def shares(spec: ChooseSpec, tier: str | None) -> Counter[str]:
    return Counter([(await decided(spec, of(tier, f"caller-{n}"))).facts["version"] for n in CALLERS])


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_a_pin_of_a_tier_that_may_wins_over_weights_and_rules(version: str) -> None:
    spec = replace(SPEC, pin=PIN, rules=(Cohort("true", "v1"),))
    decision = await decided(spec, of("premium"), asking({"x-model-version": version}))
    assert (decision.facts["version"], decision.facts["chosen_by"]) == (version, "pin")


@pytest.mark.parametrize("tier", ["free", None, ""])
async def test_a_pin_of_any_other_tier_means_nothing(tier: str | None) -> None:
    spec, plain = replace(SPEC, pin=PIN), await decided(SPEC, of(tier))
    for value in ("v1", "v2", "v3", "nothing at all"):
        decision = await decided(spec, of(tier), asking({"x-model-version": value}))
        assert decision.facts == plain.facts


@pytest.mark.parametrize("value", ["v4", "", "V1", "v1,v2", "v1 "])
async def test_a_pin_of_what_is_not_there_is_told(value: str) -> None:
    pinned = asking({"x-model-version": value})
    assert await denied(replace(SPEC, pin=PIN), of("premium"), pinned) == (400, "unknown_version")


async def test_a_pin_of_another_tiers_version_is_refused() -> None:
    spec = replace(SPEC, versions=(V1, replace(V2, tiers=("staff",))), pin=PIN)
    pinned = asking({"x-model-version": "v2"})
    assert await denied(spec, of("premium"), pinned) == (403, "version_not_allowed")
    assert (await decided(spec, of("staff"), pinned)).facts["version"] == "v2"


async def test_without_a_pin_in_the_file_its_header_means_nothing() -> None:
    assert (await decided(SPEC, of("premium"), asking({"x-model-version": "v3"}))).facts["version"] != "v3"


RULES: Final = (
    Cohort('"beta" in consumer.groups', "v3"),
    Cohort('consumer.tier == "staff"', "v2"),
    Cohort('request.headers["x-lab"] == "1"', "v3"),
)


@pytest.mark.parametrize(
    ("context", "version", "why"),
    [
        (of("free", groups=("beta",)), "v3", "rules[0]"),
        (of("staff", groups=("beta",)), "v3", "rules[0]"),
        (of("staff"), "v2", "rules[1]"),
    ],
)
async def test_the_first_rule_that_holds_decides(context: Context, version: str, why: str) -> None:
    decision = await decided(replace(SPEC, rules=RULES), context)
    assert (decision.facts["version"], decision.facts["chosen_by"]) == (version, why)


async def test_where_no_rule_holds_it_is_drawn_as_ever() -> None:
    ruled = await decided(replace(SPEC, rules=RULES), of("free"), asking({"x-lab": "2"}))
    assert ruled.facts == (await decided(SPEC, of("free"))).facts


async def test_a_rule_that_cannot_be_judged_decides_nothing() -> None:
    with pytest.raises(CouldNotDecide):
        await decided(replace(SPEC, rules=RULES), of("free"))


async def test_a_rule_to_a_version_of_other_tiers_has_nothing_to_say() -> None:
    spec = replace(SPEC, versions=(V1, replace(V2, tiers=("staff",))), rules=(Cohort("true", "v2"),))
    assert (await decided(spec, of("free"))).facts["chosen_by"] == "consumer"
    assert (await decided(spec, of("staff"))).facts["chosen_by"] == "rules[0]"


async def test_a_model_may_be_of_some_tiers_alone() -> None:
    spec = replace(SPEC, tiers=("premium",))
    assert (await decided(spec, of("premium"))).upstream in ("one", "two")
    for tier in ("free", None, ""):
        assert await denied(spec, of(tier)) == (403, "model_not_allowed")
    assert await denied(replace(spec, sticky="none"), Context("recommend")) == (403, "model_not_allowed")


async def test_a_version_of_some_tiers_alone_is_drawn_for_them_alone() -> None:
    spec = replace(SPEC, versions=(V1, V2, replace(V3, weight=10_000, tiers=("premium", "staff"))))
    assert set(await shares(spec, "free")) == {"v1", "v2"}
    assert set(await shares(spec, None)) == {"v1", "v2"}
    premium = await shares(spec, "premium")
    assert abs(premium["v3"] - 200) < 50
    assert premium == await shares(spec, "staff")


async def test_who_may_have_none_that_answers_now_is_refused() -> None:
    spec = replace(SPEC, versions=(V3, replace(V1, tiers=("premium",))))
    assert await denied(spec, of("free")) == (403, "version_not_allowed")


async def test_another_salt_draws_anew_and_the_same_draws_alike() -> None:
    callers = [of("free", f"caller-{number}") for number in CALLERS]

    async def drawn(spec: ChooseSpec) -> list[str]:
        return [(await decided(spec, caller)).facts["version"] for caller in callers]

    plain = await drawn(SPEC)
    assert await drawn(replace(SPEC, salt="recommend")) == plain  # the model's name is the salt of one that names none
    other = await drawn(replace(SPEC, salt="spring"))
    assert 100 < sum(one != another for one, another in zip(plain, other, strict=True)) < 300
    assert await drawn(replace(SPEC, model="score", salt="spring")) == other


VISITS: Final = replace(SPEC, sticky="cookie:visit")


def cookie_of(decision: Continue) -> str | None:
    return dict(decision.response.set).get("set-cookie")


async def test_who_has_no_cookie_is_given_a_random_one_and_drawn_by_it() -> None:
    first, second = [await decided(VISITS, of(None), asking(stream=stream)) for stream in ("1", "2")]
    given = cookie_of(first)
    assert given is not None
    pair, *attributes = given.split("; ")
    assert attributes == ["Path=/", "Max-Age=31536000", "HttpOnly", "SameSite=Lax"]
    assert cookie_of(second) != given
    again = await decided(VISITS, of(None), asking({"cookie": pair}, stream="3"))
    assert again.facts["version"] == first.facts["version"]
    assert cookie_of(again) is None
    assert again.facts["chosen_by"] == "cookie:visit"


async def test_over_tls_the_cookie_is_for_tls_alone() -> None:
    given = cookie_of(await decided(VISITS, of(None), asking(scheme="https")))
    assert given is not None
    assert given.endswith("; SameSite=Lax; Secure")


@pytest.mark.parametrize("sent", ["visit=", "visit=1; visit=2", "visitor=1", "other=visit"])
async def test_a_cookie_that_says_nothing_is_given_anew(sent: str) -> None:
    assert cookie_of(await decided(VISITS, of(None), asking({"cookie": sent}))) is not None


async def test_new_cookies_share_the_versions_out_by_weight() -> None:
    drawn = Counter([(await decided(VISITS, of(None), asking(stream=f"s-{n}"))).facts["version"] for n in range(1_000)])
    assert abs(drawn["v1"] - 600) < 80


async def test_a_forged_cookie_gets_no_version_that_has_no_share() -> None:
    drawn = {
        (await decided(VISITS, of(None), asking({"cookie": f"visit={number}"}))).facts["version"] for number in CALLERS
    }
    assert drawn == {"v1", "v2"}


async def test_who_is_pinned_or_ruled_needs_no_cookie() -> None:
    spec = replace(VISITS, pin=PIN, rules=(Cohort('consumer.tier == "staff"', "v3"),))
    assert cookie_of(await decided(spec, of("premium"), asking({"x-model-version": "v1"}))) is None
    assert cookie_of(await decided(spec, of("staff"))) is None


async def test_a_version_with_others_to_stand_in_leads_to_them_all() -> None:
    spec = replace(SPEC, fallback=Fallback(("v1", "v2"), 1, 20))
    decision = await decided(spec, of("free"))
    assert decision.cluster == f"model.recommend/{decision.facts['version']}"
    assert decision.upstream in ("one", "two")
    assert not decision.response  # Envoy says who answered


SHADOWED: Final = replace(SPEC, versions=(replace(V1, weight=10_000), V3), shadow=Shadow("v3", 2_500))


@pytest.mark.parametrize(("chance", "copied"), [(0.0, True), (0.2499, True), (0.25, False), (0.99, False)])
async def test_a_share_of_requests_is_copied(chance: float, copied: bool) -> None:
    decision = passed(await choosing(SHADOWED, chance).on_request(asking(), of("free")))
    assert (decision.shadow, decision.facts.get("shadow", "")) == (("recommend", "v3") if copied else ("", ""))
    assert decision.compared == ""


async def test_a_shadow_that_is_compared_is_not_envoys_to_copy() -> None:
    spec = replace(SHADOWED, shadow=Shadow("v3", 10_000, Compare((("status", "response.status"),), 1.0)))
    decision = await decided(spec, of("free"))
    assert (decision.shadow, decision.compared, decision.facts["shadow"]) == ("", "recommend", "v3")


async def test_what_the_shadow_answers_itself_is_not_copied() -> None:
    pinned = await decided(replace(SHADOWED, pin=PIN), of("premium"), asking({"x-model-version": "v3"}))
    assert (pinned.upstream, pinned.shadow) == ("three", "")


async def test_a_refusal_copies_nothing() -> None:
    assert isinstance(await choosing(replace(SHADOWED, tiers=("x",))).on_request(asking(), of("free")), LocalReply)
