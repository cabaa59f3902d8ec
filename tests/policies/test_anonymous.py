"""Whoever brings no credential: a consumer with a tier and no name, and counted by address."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from extproc.core.limits import Limit, Per
from extproc.core.message import Consumer
from extproc.core.policy import Context, needs_no_credential
from extproc.core.specs import ChooseSpec, LimitSpec, ModelsSpec, Version
from extproc.policies.anonymous import AnonymousKind, AnonymousSettings
from extproc.policies.choose import Choose
from extproc.policies.limit import LimitPolicy
from extproc.testing import fake_ports
from tests.policies.asking import asking, passed, refused

GUEST = Context("orders", Consumer("anonymous", "guest", anonymous=True))
TWO = Limit("tier", "tier/guest", Per.CONSUMER, 2, 60, 2)
OWN = Limit("consumer-0", "route/orders", Per.CONSUMER, 2, 60, 2)


async def test_it_names_a_consumer_without_a_name() -> None:
    method = AnonymousKind.build("guests", AnonymousSettings(tier="guest", scopes=["docs:read"]), fake_ports())
    assert needs_no_credential(method)
    assert not method.presents(asking({"authorization": "Bearer a"}))
    assert (method.challenge, tuple(method.credential_headers)) == ("", ())
    assert await method.authenticate(asking()) == Consumer(
        "anonymous", "guest", ("docs:read",), method="guests", anonymous=True
    )


@pytest.mark.parametrize("settings", [{"tier": ""}, {"scopes": ["a b"]}, {"scopes": [""]}, {"consumer": "guest"}])
def test_settings_that_nobody_could_mean_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AnonymousSettings.model_validate(settings)


@pytest.mark.parametrize("spec", [LimitSpec({"guest": (TWO,)}, True, ()), LimitSpec({}, False, (OWN,))])
async def test_a_limit_per_consumer_or_tier_counts_each_address_of_the_anonymous(spec: LimitSpec) -> None:
    policy = LimitPolicy.build(spec, fake_ports())
    here, there = asking(address="192.0.2.7"), asking(address="192.0.2.8")
    passed(await policy.on_request(here, GUEST))
    passed(await policy.on_request(here, GUEST))
    assert refused(await policy.on_request(here, GUEST))[0] == 429
    passed(await policy.on_request(there, GUEST))


async def test_a_consumer_called_as_an_address_is_not_counted_with_it() -> None:
    policy = LimitPolicy.build(LimitSpec({}, False, (OWN,)), fake_ports())
    for name in ("anonymous", "192.0.2.7/32"):
        for context in (GUEST, Context("orders", Consumer(name))):
            passed(await policy.on_request(asking(), context))


async def test_a_version_that_sticks_to_the_consumer_sticks_to_the_address_of_the_anonymous() -> None:
    spec = ChooseSpec("score", (Version("v1", "one", 5000), Version("v2", "two", 5000)), "consumer")
    policy = Choose.build(ModelsSpec((spec,)), fake_ports())
    addresses = [f"192.0.2.{number}" for number in range(40)]
    chosen = [passed(await policy.on_request(asking(address=one), GUEST)).upstream for one in addresses]
    assert set(chosen) == {"one", "two"}
    again = [passed(await policy.on_request(asking(address=one, stream="s"), GUEST)).upstream for one in addresses]
    assert again == chosen
