"""Rules of `authorize`: all members of one must hold, any of several will do, and nothing else lets anybody pass."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from extproc.core.decision import CONTINUE, Continue, Decision, LocalReply
from extproc.core.errors import CouldNotDecide
from extproc.core.message import Consumer
from extproc.core.policy import Context
from extproc.core.specs import AccessRule, AuthorizeSpec
from extproc.policies.authorize import Authorize
from extproc.testing import fake_ports
from tests.policies.asking import asking, refused

CLAIMS: dict[str, object] = {
    "role": "admin", "level": 3, "ratio": 0.5, "staff": True, "one": 1, "teams": ["red", "blue"], "none": None,
    "nested": {"role": "admin"}, "text": "3", "https://shop.test/plan": "gold",
}  # fmt: skip
ACME = Consumer("acme", "free", ("orders:read", "orders:list"), CLAIMS, "company", ("staff", "eu"))
CALLED = Context("orders", ACME)
NOBODY = Context("orders")
INSIDE = (ip_network("192.0.2.0/24"),)
OUTSIDE = (ip_network("198.51.100.0/24"),)


async def judged(*rules: AccessRule, context: Context = CALLED, any_of: bool = False, **fields: Any) -> Decision:
    return await Authorize.build(AuthorizeSpec(rules, any_of), fake_ports()).on_request(asking(**fields), context)


def refused_by(decision: Decision) -> str:
    assert isinstance(decision, LocalReply)
    return decision.facts.get("refused_by", "")


def claim(name: str, *values: object) -> AccessRule:
    return AccessRule(claims={name: values})


HOLDING = [
    AccessRule(scopes=("orders:read",)),
    AccessRule(scopes=("orders:list", "orders:read")),
    AccessRule(any_scope=("nothing", "orders:read")),
    AccessRule(groups=("nobody", "eu")),
    AccessRule(consumers=("other", "acme")),
    AccessRule(tiers=("premium", "free")),
    AccessRule(addresses=INSIDE),
    AccessRule(deny_addresses=OUTSIDE),
    AccessRule(when='consumer.groups == ["staff", "eu"]'),
    claim("role", "admin"),
    claim("role", "user", "admin"),
    claim("level", 3),
    claim("level", 3.0),
    claim("ratio", 0.5),
    claim("staff", True),
    claim("one", 1),
    claim("teams", "green", "blue"),
    claim("https://shop.test/plan", "gold"),
    AccessRule(claims={"role": ("admin",), "level": (3,)}),
]
FAILING = [
    (AccessRule(scopes=("orders:read", "orders:write")), "missing_scope", "scopes"),
    (AccessRule(scopes=("orders",)), "missing_scope", "scopes"),
    (AccessRule(any_scope=("orders:write", "admin")), "missing_scope", "any_scope"),
    (AccessRule(groups=("Staff",)), "not_in_group", "groups"),
    (AccessRule(consumers=("acme2", "")), "consumer_not_allowed", "consumers"),
    (AccessRule(tiers=("premium",)), "tier_not_allowed", "tiers"),
    (AccessRule(addresses=OUTSIDE), "address_not_allowed", "addresses"),
    (AccessRule(deny_addresses=INSIDE), "address_not_allowed", "deny_addresses"),
    (AccessRule(when="false"), "not_authorized", ""),
    (claim("role", "user"), "wrong_claim", "claims.role"),
    (claim("absent", "x"), "wrong_claim", "claims.absent"),
    (claim("level", "3"), "wrong_claim", "claims.level"),
    (claim("text", 3), "wrong_claim", "claims.text"),
    (claim("staff", 1), "wrong_claim", "claims.staff"),
    (claim("one", True), "wrong_claim", "claims.one"),
    (claim("teams", "re"), "wrong_claim", "claims.teams"),
    (claim("nested", "admin"), "wrong_claim", "claims.nested"),
    (claim("none", "None"), "wrong_claim", "claims.none"),
    (AccessRule(claims={"role": ("admin",), "level": (4,)}), "wrong_claim", "claims.level"),
]


@pytest.mark.parametrize("rule", HOLDING)
async def test_what_holds_passes(rule: AccessRule) -> None:
    assert await judged(rule) is CONTINUE


@pytest.mark.parametrize(("rule", "reason", "part"), FAILING)
async def test_what_does_not_hold_is_refused_and_named(rule: AccessRule, reason: str, part: str) -> None:
    decision = await judged(rule)
    assert refused(decision) == (403, reason)
    assert refused_by(decision) == part


@pytest.mark.parametrize(("rule", "reason", "part"), FAILING)
async def test_one_member_that_does_not_hold_is_enough_whatever_else_does(
    rule: AccessRule, reason: str, part: str
) -> None:
    wide = AccessRule(
        INSIDE, OUTSIDE, ("acme",), ("free",), ("staff",), ("orders:read",), ("orders:list",), {"one": (1,)}, "true"
    )
    assert await judged(wide) is CONTINUE
    written = {name: value for name in AccessRule.__slots__ if (value := getattr(rule, name))}
    assert refused(await judged(replace(wide, **written))) == (403, reason)


OF_CONSUMERS = [rule for rule in HOLDING if not rule.addresses and not rule.deny_addresses and not rule.when]


@pytest.mark.parametrize("rule", OF_CONSUMERS)
async def test_a_rule_about_consumers_refuses_whoever_is_unknown(rule: AccessRule) -> None:
    assert refused(await judged(rule, context=NOBODY))[0] == 403


async def test_the_name_of_an_anonymous_consumer_is_nobodys() -> None:
    anonymous = Context("orders", Consumer("acme", anonymous=True))
    assert refused(await judged(AccessRule(consumers=("acme",)), context=anonymous)) == (403, "consumer_not_allowed")


FOUR, SIX = ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")
ADDRESSES = [
    ("10.1.2.3", True, True),
    ("::ffff:10.1.2.3", True, True),  # the same client, seen through a socket for both versions
    ("::ffff:0a01:0203", True, True),
    ("11.0.0.1", False, False),
    ("::ffff:11.0.0.1", False, False),
    ("2001:db8::1", True, True),
    ("2001:db8::1%eth0", True, True),
    ("2001:db9::1", False, False),
    ("::a00:1", False, False),
    ("", False, None),
    ("unix:/run/x", False, None),
    ("10.1.2.3:80", False, None),
    ("10.1.2", False, None),
    ("010.1.2.3", False, None),
    ("10.1.2.3, 11.0.0.1", False, None),
]


@pytest.mark.parametrize(("address", "allowed", "denied"), ADDRESSES)
async def test_an_address_is_in_a_network_or_not_and_an_unreadable_one_passes_nowhere(
    address: str, allowed: bool, denied: bool | None
) -> None:
    networks = (FOUR, SIX)
    inside = await judged(AccessRule(addresses=networks), address=address)
    outside = await judged(AccessRule(deny_addresses=networks), address=address)
    assert (inside is CONTINUE) is allowed
    assert (outside is CONTINUE) is (denied is False)


async def test_a_network_of_everybody_does_not_hold_who_has_no_address() -> None:
    assert refused(await judged(AccessRule(addresses=(ip_network("0.0.0.0/0"), ip_network("::/0"))), address=""))


SCOPES = [
    (AccessRule(scopes=("orders:write", "orders:read")), 'scope="orders:write orders:read"'),
    (AccessRule(any_scope=("orders:write", "admin")), 'scope="orders:write"'),
]


@pytest.mark.parametrize(("rule", "named"), SCOPES)
@pytest.mark.parametrize("any_of", [False, True])
async def test_who_lacks_a_scope_is_told_which_one_would_do(rule: AccessRule, named: str, any_of: bool) -> None:
    """RFC 6750 §3.1."""
    decision = await judged(rule, any_of=any_of)
    assert isinstance(decision, LocalReply)
    assert dict(decision.headers)["www-authenticate"] == f'Bearer error="insufficient_scope", {named}'


async def test_only_a_missing_scope_is_challenged() -> None:
    for rule in (AccessRule(groups=("x",)), AccessRule(when="false"), AccessRule(addresses=OUTSIDE)):
        decision = await judged(rule, rule, any_of=True)
        assert isinstance(decision, LocalReply)
        assert "www-authenticate" not in dict(decision.headers)


YES, NO = AccessRule(scopes=("orders:read",)), AccessRule(groups=("none",))
FAILS = AccessRule(when='request.headers["x-absent"] == "1"')


@pytest.mark.parametrize(
    ("rules", "by"), [((YES,), "[0]"), ((NO, YES), "[1]"), ((NO, FAILS, YES), "[2]"), ((YES, FAILS), "[0]")]
)
async def test_any_rule_of_several_will_do_and_the_record_says_which(rules: tuple[AccessRule, ...], by: str) -> None:
    decision = await judged(*rules, any_of=True)
    assert decision == Continue(facts={"allowed_by": by})


async def test_what_no_rule_allows_is_refused_and_each_is_told_with_what_refused() -> None:
    decision = await judged(NO, AccessRule(scopes=("x",), when="true"), AccessRule(when="false"), any_of=True)
    assert refused(decision) == (403, "no_rule_matches")
    assert refused_by(decision) == "[0].groups, [1].scopes, [2].when"


@pytest.mark.parametrize("rules", [(FAILS,), (NO, FAILS), (FAILS, NO)])
async def test_where_none_allows_and_one_could_not_be_judged_nothing_is_decided(rules: tuple[AccessRule, ...]) -> None:
    with pytest.raises(CouldNotDecide):
        await judged(*rules, any_of=len(rules) > 1)


async def test_a_condition_is_not_judged_where_another_member_refuses_already() -> None:
    assert refused(await judged(replace(FAILS, groups=("none",)))) == (403, "not_in_group")


async def test_no_rules_allow_nobody() -> None:
    assert refused(await judged(any_of=True)) == (403, "no_rule_matches")


def test_the_table_of_reasons_has_each_member_of_a_rule() -> None:
    tried = {name for rule, *_ in FAILING for name in AccessRule.__slots__ if getattr(rule, name)}
    assert tried == set(AccessRule.__slots__)
