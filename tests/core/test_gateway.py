"""One plan's routes and limits by name and revision; what it does not hold is an outage, never an open door."""

from __future__ import annotations

import pytest

from extproc.core.chain import Link, PolicyChain
from extproc.core.errors import UnknownRoute
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.policy import Policy
from extproc.core.processing import Processing, Side
from extproc.testing import FakeClock
from tests.core.examples import limit

SERVED = ServedRoute(PolicyChain("orders", (), FakeClock()), Processing(response=Side(headers=True)))
LIMIT = limit(name="address-0", scope="route/orders")
GATEWAY = Gateway("r2", {"orders": SERVED}, {("orders", "address-0"): LIMIT})


def test_a_route_of_this_revision_is_served() -> None:
    assert GATEWAY.route("orders", "r2") is SERVED
    assert GATEWAY.limit("orders", "address-0", "r2") is LIMIT


@pytest.mark.parametrize(
    ("name", "revision", "sentence"),
    [
        ("admin", "r2", "no route 'admin' in revision r2"),
        ("", "r2", "no route '' in revision r2"),
        ("orders", "r1", "Envoy routes by revision r1, this sidecar holds r2"),
        ("orders", "", r"Envoy routes by revision \(none\), this sidecar holds r2"),
    ],
)
def test_an_unknown_route_or_revision_is_never_without_policies(name: str, revision: str, sentence: str) -> None:
    with pytest.raises(UnknownRoute, match=f"^{sentence}$") as unknown:
        GATEWAY.route(name, revision)
    assert (unknown.value.status, unknown.value.reason) == (503, "unknown_route")


@pytest.mark.parametrize(
    ("route", "name", "revision"),
    [("orders", "tier", "r2"), ("other", "address-0", "r2"), ("orders", "address-0", "r1")],
)
def test_an_unknown_limit_is_never_unlimited(route: str, name: str, revision: str) -> None:
    with pytest.raises(UnknownRoute):
        GATEWAY.limit(route, name, revision)


def test_the_names_of_all_that_judge_are_known() -> None:
    """The limits that Envoy's own filter asks about are judged by no chain."""
    first, then, backwards = (Link(name, Policy()) for name in ("authenticate", "authorize", "transform"))
    chains = [PolicyChain("a", (first, then), FakeClock()), PolicyChain("b", (first,), FakeClock(), (backwards,))]
    gateway = Gateway("r2", {chain.route: ServedRoute(chain) for chain in chains}, {})
    assert gateway.policies == {"authenticate", "authorize", "transform", "limit"}
