"""One route's policies in order: what they say is merged, and what is no decision is never an allow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from extproc.core.chain import Link, PolicyChain, reached
from extproc.core.decision import Continue, HeaderEdits, LocalReply, refusal
from extproc.core.errors import CouldNotDecide, InvalidMutation, PolicyFailed, StoreUnavailable
from extproc.core.message import Consumer, Response
from extproc.core.outcome import Outcome
from extproc.core.policy import Policy
from extproc.testing import FakeClock
from tests.core.examples import ACME, GET, OK, Appends, Raises, RaisesAtOnce, Says, sets

REFUSED = refusal(403, "not_authorized", "no")


def chain(*policies: Policy, upstreams: frozenset[str] = frozenset(), authenticates: bool = False) -> PolicyChain:
    links = tuple(
        Link(f"policy-{number}", policy, authenticates and not number) for number, policy in enumerate(policies)
    )
    return PolicyChain("orders", links, FakeClock(), links, upstreams)


async def asked(*policies: Policy, upstreams: frozenset[str] = frozenset()) -> Outcome:
    return await chain(*policies, upstreams=upstreams).on_request(GET)


async def test_a_route_without_policies_lets_the_request_pass_unedited() -> None:
    assert await asked() == Outcome(Continue())


async def test_what_policies_say_is_merged_and_the_later_one_wins() -> None:
    first = Continue(request=sets("x-a", "1"), response=sets("x-r", "1"), facts={"a": "1", "b": "1"})
    then = Continue(request=HeaderEdits((("x-a", "2"), ("x-b", "2")), ("cookie",)), facts={"b": "2"})
    outcome = await asked(Says(first), Says(then))
    assert isinstance(outcome.decision, Continue)
    assert outcome.decision.request == HeaderEdits((("x-a", "2"), ("x-b", "2")), ("cookie",))
    assert outcome.decision.response == sets("x-r", "1")
    assert outcome.facts == {"a": "1", "b": "2"}


async def test_a_refusal_ends_the_chain() -> None:
    never = Says()
    outcome = await asked(Says(), Says(REFUSED), never)
    assert outcome.decision == REFUSED
    assert [step.policy for step in outcome.steps] == ["policy-0", "policy-1"]
    assert never.shown == []


async def test_a_refusal_still_tells_what_earlier_policies_promised_the_client() -> None:
    promised = HeaderEdits(set=(("ratelimit", '"tier";r=1'), ("content-type", "text/plain")), remove=("server",))
    outcome = await asked(Says(Continue(request=sets("x-up", "1"), response=promised)), Says(REFUSED))
    assert isinstance(outcome.decision, LocalReply)
    assert outcome.decision.headers == (*REFUSED.headers, ("ratelimit", '"tier";r=1'))
    assert outcome.decision.body == REFUSED.body


@pytest.mark.parametrize(
    "error", [ValueError("secret"), SystemExit(0), RecursionError(), ExceptionGroup("g", [OSError()])]
)
@pytest.mark.parametrize("kind", [Raises, RaisesAtOnce])
async def test_whatever_a_policy_raises_is_no_decision(kind: type[Raises | RaisesAtOnce], error: BaseException) -> None:
    with pytest.raises(PolicyFailed) as failed:
        await asked(kind(error))
    assert str(failed.value) == f"policy 'policy-0' raised {type(error).__name__}"
    assert failed.value.__cause__ is error


@pytest.mark.parametrize("error", [StoreUnavailable("full"), InvalidMutation("no"), CouldNotDecide("why")])
async def test_a_policy_that_could_not_decide_says_so_itself(error: CouldNotDecide) -> None:
    with pytest.raises(CouldNotDecide) as raised:
        await asked(Raises(error))
    assert raised.value is error


@pytest.mark.parametrize("answer", [None, True, "allow", {}, Continue, (Continue(), Continue())])
async def test_what_is_not_a_decision_never_lets_pass(answer: object) -> None:
    with pytest.raises(PolicyFailed, match=rf"'policy-1' answered {type(answer).__name__}, not a decision"):
        await asked(Says(), Says(answer))


async def test_cancellation_is_not_a_failure_of_the_policy() -> None:
    with pytest.raises(asyncio.CancelledError):
        await asked(Raises(asyncio.CancelledError()))


async def test_only_authentication_may_name_the_consumer_and_later_policies_see_it() -> None:
    sees = Says()
    outcome = await chain(Says(Continue(consumer=ACME)), sees, authenticates=True).on_request(GET)
    assert outcome.consumer == ACME
    assert sees.contexts[0].consumer == ACME
    assert sees.contexts[0].route == "orders"
    with pytest.raises(InvalidMutation, match="policy 'policy-1' may not name the consumer"):
        await chain(Says(), Says(Continue(consumer=Consumer("root"))), authenticates=True).on_request(GET)


@pytest.mark.parametrize("upstream", ["admin", ""])
async def test_a_policy_chooses_only_among_the_routes_own_upstreams(upstream: str) -> None:
    with pytest.raises(InvalidMutation, match="which the route does not offer"):
        await asked(Says(Continue(upstream=upstream)), upstreams=frozenset({"v1", "v2"}))
    with pytest.raises(InvalidMutation, match="which the route does not offer"):
        await asked(Says(Continue(upstream=upstream)))


@pytest.mark.parametrize(
    "choice",
    [
        Continue(upstream="one", cluster="model.m/v1"),
        Continue(upstream="one", shadow="m"),
        Continue(upstream="one", compared="m"),
    ],
)
async def test_only_the_choice_of_a_version_may_name_who_stands_in_or_gets_a_copy(choice: Continue) -> None:
    policy = Says(choice)
    with pytest.raises(InvalidMutation, match="policy 'policy-0' may not name a cluster or a shadow"):
        await asked(policy, upstreams=frozenset({"one"}))
    links = (Link("choose", policy, chooses=True),)
    outcome = await PolicyChain("r", links, FakeClock(), upstreams=frozenset({"one"})).on_request(GET)
    assert outcome.decision == choice


async def test_who_chooses_another_upstream_later_takes_what_stood_by_for_the_first_one_along() -> None:
    first = Link("choose", Says(Continue(upstream="one", cluster="model.m/v1", shadow="m")), chooses=True)
    later = Link("later", Says(Continue(upstream="two")))
    upstreams = frozenset({"one", "two"})
    decision = (await PolicyChain("r", (first, later), FakeClock(), upstreams=upstreams).on_request(GET)).decision
    assert isinstance(decision, Continue)
    assert (decision.upstream, decision.cluster, decision.shadow) == ("two", "", "")


async def test_the_last_choice_of_an_upstream_holds() -> None:
    outcome = await asked(
        Says(Continue(upstream="v1")), Says(Continue(upstream="v2")), Says(), upstreams=frozenset({"v1", "v2"})
    )
    assert isinstance(outcome.decision, Continue)
    assert outcome.decision.upstream == "v2"


async def test_a_route_that_leaves_its_upstream_open_fails_where_nobody_chooses() -> None:
    with pytest.raises(PolicyFailed, match="no policy chose an upstream"):
        await asked(Says(), upstreams=frozenset({"v1"}))
    assert (await asked(Says(REFUSED), upstreams=frozenset({"v1"}))).decision == REFUSED


@dataclass(slots=True)
class Slow(Policy):
    clock: FakeClock

    async def on_request(self, *_: object) -> Continue:
        self.clock.advance(0.25)
        return Continue()


@dataclass(slots=True)
class FailsLate(Policy):
    clock: FakeClock

    async def on_request(self, *_: object) -> Continue:
        self.clock.advance(0.5)
        raise TimeoutError


async def test_every_step_is_timed_on_the_clock_that_never_steps_back() -> None:
    clock = FakeClock()
    links = (Link("slow", Slow(clock)), Link("quick", Says()))
    outcome = await PolicyChain("orders", links, clock).on_request(GET)
    assert [(step.policy, step.duration) for step in outcome.steps] == [("slow", 250_000_000), ("quick", 0)]


async def test_the_last_policy_sees_the_response_first_and_bodies_pass_on() -> None:
    response = Response(200, body=b"-")
    outcome = await chain(Appends("a"), Appends("b"), Appends("c")).on_response(response, GET, ACME)
    assert isinstance(outcome.decision, Continue)
    assert outcome.decision.body == b"-cba"
    assert outcome.decision.response == sets("x-last", "a")
    assert [step.policy for step in outcome.steps] == ["policy-2", "policy-1", "policy-0"]


async def test_a_policy_of_a_response_knows_the_route_the_request_and_the_consumer() -> None:
    sees = Says()
    outcome = await chain(sees).on_response(OK, GET, ACME)
    assert sees.shown == [OK]
    assert (sees.contexts[0].route, sees.contexts[0].consumer, outcome.consumer) == ("orders", ACME, ACME)


async def test_a_policy_of_a_response_may_refuse_it() -> None:
    outcome = await chain(Says(), Says(REFUSED), Appends("c")).on_response(OK, GET, None)
    assert isinstance(outcome.decision, LocalReply)
    assert ("x-last", "c") in outcome.decision.headers


async def test_an_empty_body_replaces_a_body() -> None:
    outcome = await chain(Says(), Says(Continue(body=b""))).on_response(Response(200, body=b"x"), GET, None)
    assert isinstance(outcome.decision, Continue)
    assert outcome.decision.body == b""


@pytest.mark.parametrize("edits", [HeaderEdits(set=(("x-beta", "1"),)), HeaderEdits(remove=("x-beta",))])
async def test_a_policy_may_not_edit_a_header_that_routes_match_on(edits: HeaderEdits) -> None:
    """Envoy may look the route up again, and another route may ask for less."""
    links = (Link("mover", Says(Continue(request=edits))),)
    with pytest.raises(InvalidMutation, match="x-beta"):
        await PolicyChain("orders", links, FakeClock(), matched=frozenset({"x-beta"})).on_request(GET)


MANY = HeaderEdits(set=tuple((f"x-{number}", "1") for number in range(60)))
MORE = HeaderEdits(set=tuple((f"x-more-{number}", "1") for number in range(60)))
ENDS = {
    "an exception": Raises(ValueError()),
    "an exception before anything is awaited": RaisesAtOnce(ValueError()),
    "a reason of its own": Raises(StoreUnavailable("full")),
    "no decision": Says("allow"),
    "an edit that it may not make": Says(Continue(upstream="admin")),
    "edits that are too many together": Says(Continue(request=MORE)),
    "a cancellation": Raises(asyncio.CancelledError()),
}


@pytest.mark.parametrize("end", ENDS)
async def test_an_error_tells_which_policy_it_ended_and_what_had_been_decided_before(end: str) -> None:
    first = Says(Continue(consumer=ACME, request=MANY, facts={"version": "v1"}))
    with pytest.raises((CouldNotDecide, asyncio.CancelledError)) as ended:
        await chain(first, Says(), ENDS[end], Says(), authenticates=True).on_request(GET)
    so_far = reached(ended.value)
    assert so_far is not None
    assert so_far.ended_by == "policy-2"
    assert [step.policy for step in so_far.steps] == ["policy-0", "policy-1", "policy-2"]
    assert so_far.steps[-1].decision is None
    assert (so_far.consumer, so_far.facts) == (ACME, {"version": "v1"})


async def test_the_time_until_a_policy_failed_is_told_too() -> None:
    clock = FakeClock()
    with pytest.raises(PolicyFailed) as failed:
        await PolicyChain("orders", (Link("late", FailsLate(clock)),), clock).on_request(GET)
    so_far = reached(failed.value)
    assert so_far is not None
    assert [(step.policy, step.duration) for step in so_far.steps] == [("late", 500_000_000)]


async def test_an_error_that_no_policy_is_to_blame_for_names_none() -> None:
    with pytest.raises(PolicyFailed) as failed:
        await asked(Says(), upstreams=frozenset({"v1"}))
    so_far = reached(failed.value)
    assert so_far is not None
    assert (so_far.ended_by, [step.policy for step in so_far.steps]) == ("", ["policy-0"])


async def test_who_ended_a_chain_is_the_policy_that_refused_and_nobody_where_all_allow() -> None:
    assert (await asked(Says(), Says(REFUSED), Says())).ended_by == "policy-1"
    assert (await asked(Says(), Says())).ended_by == ""
    assert (await asked()).ended_by == ""


async def test_an_error_that_was_raised_from_another_tells_what_that_one_knew() -> None:
    with pytest.raises(ValueError, match="sidecar") as raised:
        await _fails_around(chain(Says(), Raises(ValueError())))
    assert (known := reached(raised.value)) is not None
    assert known.ended_by == "policy-1"
    assert reached(ValueError()) is None


async def _fails_around(judged: PolicyChain) -> None:
    try:
        await judged.on_request(GET)
    except PolicyFailed as error:
        raise ValueError("in the sidecar") from error


async def test_a_policy_may_not_remove_a_parameter_that_routes_match_on() -> None:
    links = (Link("mover", Says(Continue(remove_query=("beta",)))),)
    with pytest.raises(InvalidMutation, match="beta"):
        await PolicyChain("orders", links, FakeClock(), matched_query=frozenset({"beta"})).on_request(GET)


async def test_parameters_that_policies_remove_are_removed_together() -> None:
    outcome = await chain(
        Says(Continue(remove_query=("a",))), Says(), Says(Continue(remove_query=("b", "a")))
    ).on_request(GET)
    assert isinstance(outcome.decision, Continue)
    assert outcome.decision.remove_query == ("a", "b")
