"""Whether this consumer may make this request: exactly true is yes, an error is no decision."""

from __future__ import annotations

import pytest

from extproc.core.decision import CONTINUE, Decision
from extproc.core.errors import CouldNotDecide
from extproc.core.message import Request
from extproc.core.policy import Context, Phase, phases_of
from extproc.core.specs import AccessRule, AuthorizeSpec
from extproc.policies.authorize import Authorize
from extproc.testing import fake_ports
from tests.policies.asking import ANONYMOUS, CALLED, asking, refused


async def judged(condition: str, request: Request | None = None, context: Context = CALLED) -> Decision:
    return await judged_by(AuthorizeSpec((AccessRule(when=condition),)), request, context)


async def judged_by(spec: AuthorizeSpec, request: Request | None = None, context: Context = CALLED) -> Decision:
    return await Authorize.build(spec, fake_ports()).on_request(request or asking(), context)


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        'request.method == "GET"',
        '"orders:read" in consumer.scopes && consumer.tier == "free"',
        'consumer.claims.team == "blue"',
        'request.path.startsWith("/orders") && route.name == "orders" && request.address == "192.0.2.7"',
        'request.headers["x-beta"] == "1"',
    ],
)
async def test_what_is_true_passes_unedited(condition: str) -> None:
    assert await judged(condition, asking({"x-beta": "1"})) is CONTINUE


@pytest.mark.parametrize(
    "condition",
    [
        "false",
        'request.method == "POST"',
        '"orders:write" in consumer.scopes',
        '"true"',  # a text is not true
        "1",
        "[true]",
        "consumer.claims",
        "null",
    ],
)
async def test_what_is_anything_but_true_is_refused(condition: str) -> None:
    assert refused(await judged(condition)) == (403, "not_authorized")


@pytest.mark.parametrize(
    "condition",
    ['request.headers["x-none"] == "1"', "consumer.claims.role == 'admin'", "1 / 0 == 1", "consumer.claims.team > 3"],
)
async def test_an_expression_that_ends_in_an_error_decides_nothing(condition: str) -> None:
    with pytest.raises(CouldNotDecide) as undecided:
        await judged(condition)
    assert undecided.value.reason == "expression_failed"


async def test_nobody_has_no_id_no_tier_and_no_scopes() -> None:
    assert (
        await judged('consumer.id == "" && consumer.tier == "" && size(consumer.scopes) == 0', None, ANONYMOUS)
        is CONTINUE
    )


@pytest.mark.parametrize("condition", ["", "request.methud == 'GET'", "true &&", "x" * 5_000])
def test_a_bad_expression_is_found_when_the_policy_is_built(condition: str) -> None:
    with pytest.raises(ValueError, match=r"CEL|characters"):
        Authorize.build(AuthorizeSpec((AccessRule(when=condition or "("),)), fake_ports())


def test_it_needs_the_request_only() -> None:
    assert phases_of(Authorize, AuthorizeSpec((AccessRule(when="true"),))) == {Phase.REQUEST}
