"""Every way of not allowing: always a status that denies and a reply, never an answer that Envoy takes for a yes."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import grpc
import pytest

from extproc.core.chain import PolicyChain
from extproc.core.decision import Continue, HeaderEdits, LocalReply, refusal
from extproc.core.errors import CouldNotDecide, StoreUnavailable
from extproc.core.gateway import Gateway
from extproc.core.message import Consumer, Request
from extproc.core.policy import Policy
from extproc.core.record import Result
from extproc.wire.auth_pb2 import CheckResponse
from extproc.wire.base_pb2 import HeaderValueOption
from tests.services.conftest import Serve
from tests.services.fakes import REFUSED, Answers, Raises, Waits
from tests.services.harness import Rig, chain, check_request, gateway


class Vouches:
    """An authentication that believes anybody, for the consumer it was made with."""

    name = "any"
    challenge = "Any"
    credential_headers = ("authorization",)

    def __init__(self, consumer: object) -> None:
        self.consumer = consumer

    def presents(self, request: Request) -> bool:
        return True

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        return self.consumer  # type: ignore[return-value]  # that is the point


class NoException(BaseException):
    """As libraries derive what nobody shall catch."""


class OddError(CouldNotDecide):
    """As a policy's author may write one: it would be a success, with a reason that no metric can hold."""

    reason = "Not A Code"
    status = 200  # type: ignore[assignment]


def denied(answer: CheckResponse) -> dict[str, object]:
    """The problem that the client gets. Asserts that Envoy cannot read the answer as a yes."""
    assert answer.status.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert answer.WhichOneof("http_response") == "denied_response"
    headers = {item.header.key: item.header.value for item in answer.denied_response.headers}
    assert headers["content-type"] == "application/problem+json"
    problem: dict[str, object] = json.loads(answer.denied_response.body)
    assert problem["status"] == answer.denied_response.status.code
    return problem


def recorded_error(rig: Rig, reason: str) -> str:
    (record,) = rig.records
    assert (record.result, record.reason, record.request_id) == (Result.ERROR, reason, "id-1")
    return record.detail


async def test_a_refusal_is_the_reply_that_the_policy_made(serve: Serve) -> None:
    reply = refusal(402, "pay_first", "no credit", headers={"retry-after": "60"})
    promised = Continue(response=HeaderEdits(set=(("ratelimit", '"a";r=0;t=1'),)))
    rig = await serve(gateway(chain(Answers(promised), Answers(reply))))
    answer = await rig.check(check_request())
    assert denied(answer)["detail"] == "no credit"
    assert answer.denied_response.status.code == 402
    headers = {item.header.key: item.header.value for item in answer.denied_response.headers}
    assert headers == {
        "content-type": "application/problem+json", "cache-control": "no-store", "retry-after": "60",
        "ratelimit": '"a";r=0;t=1',
    }  # fmt: skip
    assert all(item.HasField("append") and not item.append.value for item in answer.denied_response.headers)


async def test_a_refusal_is_recorded_as_one_and_no_failure(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers(REFUSED))))
    answer = await rig.check(check_request())
    assert dict(answer.dynamic_metadata) == {"route": "orders", "revision": "r1", "reason": "not_admitted"}
    (record,) = rig.records
    assert (record.result, record.reason, record.status, record.detail) == (Result.DENY, "not_admitted", 403, "")


async def test_a_redirect_is_a_reply_like_another(serve: Serve) -> None:
    moved = LocalReply(302, "moved", (("location", "https://shop.example/"),))
    rig = await serve(gateway(chain(Answers(moved))))
    answer = await rig.check(check_request())
    assert answer.status.code != 0
    assert answer.denied_response.status.code == 302


async def test_a_reply_sets_each_of_its_cookies_and_overwrites_what_else_is_there(serve: Serve) -> None:
    cookies = (("set-cookie", "a=1"), ("x-more", "1"), ("set-cookie", "b=2"))
    rig = await serve(gateway(chain(Answers(LocalReply(302, "moved", cookies)))))
    answer = await rig.check(check_request())
    sent = [(option.header.key, option.header.value, option.append_action) for option in answer.denied_response.headers]
    actions = HeaderValueOption.HeaderAppendAction
    overwrite, append = actions.OVERWRITE_IF_EXISTS_OR_ADD, actions.APPEND_IF_EXISTS_OR_ADD
    assert sent == [("set-cookie", "a=1", overwrite), ("x-more", "1", overwrite), ("set-cookie", "b=2", append)]
    assert [option.HasField("append") for option in answer.denied_response.headers] == [True, True, False]


@pytest.mark.parametrize(
    ("route", "revision"), [("other", "r1"), (None, "r1"), ("", "r1"), ("orders", "r0"), ("orders", "")]
)
async def test_a_route_that_this_plan_does_not_hold_is_an_outage(
    serve: Serve, route: str | None, revision: str
) -> None:
    rig = await serve(gateway(chain(Answers())))
    problem = denied(await rig.check(check_request(route=route, revision=revision)))
    assert (problem["status"], problem["reason"]) == (503, "unknown_route")
    assert "revision" in recorded_error(rig, "unknown_route")


PROMISES = {
    "an exception": (chain(Raises(ValueError("secret"))), 500, "policy_failed"),
    "an exit": (chain(Raises(SystemExit(0))), 500, "policy_failed"),
    "an interrupt": (chain(Raises(KeyboardInterrupt())), 500, "policy_failed"),
    "the end of a generator": (chain(Raises(GeneratorExit())), 500, "policy_failed"),
    "what is no exception": (chain(Raises(NoException())), 500, "policy_failed"),
    "a cancellation that nobody asked for": (chain(Raises(asyncio.CancelledError())), 500, "policy_failed"),
    "a dead store": (chain(Raises(StoreUnavailable())), 503, "store_unavailable"),
    "an error of its own": (chain(Raises(OddError("odd"))), 500, "could_not_decide"),
    "none": (chain(Answers(None)), 500, "policy_failed"),
    "true": (chain(Answers(True)), 500, "policy_failed"),
    "the class": (chain(Answers(Continue)), 500, "policy_failed"),
    "an exception as an answer": (chain(Answers(ValueError())), 500, "policy_failed"),
    **{
        f"status {status.value}": (chain(Answers(LocalReply(status.value, "fine"))), 500, "invalid_mutation")
        for status in HTTPStatus
        if status < HTTPStatus.MULTIPLE_CHOICES
    },
    "a consumer that it may not name": (chain(Answers(Continue(consumer=Consumer("root")))), 500, "invalid_mutation"),
    "an upstream of another route": (chain(Answers(Continue(upstream="admin"))), 500, "invalid_mutation"),
    "no upstream": (chain(Answers(), upstreams=["v1"]), 500, "policy_failed"),
    "a text for a body": (
        chain(Answers(LocalReply(403, "no", body="text"))),  # type: ignore[arg-type]
        500,
        "could_not_decide",
    ),
    "a fact that is none": (
        chain(Answers(Continue(facts={"version": object()}))),  # type: ignore[dict-item]
        500,
        "could_not_decide",
    ),
    "a text that is no unicode": (chain(Answers(Continue(facts={"version": "\ud800"}))), 500, "could_not_decide"),
}


@pytest.mark.parametrize("judged", PROMISES)
async def test_what_is_no_decision_is_an_explicit_deny(serve: Serve, judged: str) -> None:
    policies, status, reason = PROMISES[judged]
    rig = await serve(gateway(policies))
    problem = denied(await rig.check(check_request()))
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert recorded_error(rig, reason)


@pytest.mark.parametrize(
    ("consumer", "reason"),
    [
        (Consumer("eve\r\nx-admin: 1"), "invalid_mutation"),
        (Consumer("eve\x00"), "invalid_mutation"),
        (Consumer("eve", tier="gold\n"), "invalid_mutation"),
        (Consumer("eve\ud800"), "could_not_decide"),
        (Consumer(""), "policy_failed"),
        (Consumer(7), "policy_failed"),  # type: ignore[arg-type]
        (Consumer("eve", scopes=None), "could_not_decide"),  # type: ignore[arg-type]
        (None, "policy_failed"),
        ("eve", "policy_failed"),
    ],
)
async def test_a_consumer_who_cannot_be_named_to_the_upstream_is_refused(
    serve: Serve, consumer: object, reason: str
) -> None:
    rig = await serve(gateway(chain(methods=[Vouches(consumer)])))
    problem = denied(await rig.check(check_request()))
    assert problem["status"] == 500
    assert recorded_error(rig, reason)


async def test_a_gateway_that_cannot_be_had_denies(serve: Serve) -> None:
    def none_in_force() -> Gateway:
        raise RuntimeError

    rig = await serve(none_in_force)
    assert denied(await rig.check(check_request()))["reason"] == "could_not_decide"
    assert recorded_error(rig, "could_not_decide").startswith("RuntimeError in the sidecar (test_ext_authz_deny.py:")


async def test_a_failure_tells_the_client_nothing_and_the_operator_where(serve: Serve) -> None:
    rig = await serve(gateway(chain(Raises(ValueError("the token is s3cret")))))
    answer = await rig.check(check_request(("authorization", b"Bearer s3cret")))
    assert b"s3cret" not in answer.SerializeToString()
    assert b"ValueError" not in answer.SerializeToString()
    detail = recorded_error(rig, "policy_failed")
    assert detail.startswith("policy 'policy-0' raised ValueError (fakes.py:")
    assert "s3cret" not in repr(rig.records)


@pytest.mark.parametrize("error", [CouldNotDecide("s3cret"), StoreUnavailable("s3cret"), OddError("s3cret")])
async def test_what_a_policy_says_when_it_cannot_decide_is_not_recorded_either(
    serve: Serve, error: CouldNotDecide
) -> None:
    rig = await serve(gateway(chain(Raises(error))))
    answer = await rig.check(check_request())
    assert b"s3cret" not in answer.SerializeToString()
    (record,) = rig.records
    assert "s3cret" not in repr(record)
    assert record.detail.startswith(f"{error.reason} (fakes.py:")


async def test_a_client_that_goes_away_stops_the_policy_and_leaves_a_record(serve: Serve) -> None:
    policy = Waits()
    rig = await serve(gateway(chain(policy)))
    call = rig.calling_check(check_request())
    waiting = asyncio.ensure_future(call.code())
    await asyncio.wait_for(policy.begun.wait(), 10)
    call.cancel()
    await asyncio.wait_for(policy.ended.wait(), 10)
    assert await waiting is grpc.StatusCode.CANCELLED
    assert recorded_error(rig, "could_not_decide") == "the call was cancelled"


async def test_a_policy_that_fails_takes_no_other_call_along(serve: Serve) -> None:
    chains: list[Policy] = [Raises(SystemExit(1)), Answers()]

    def current() -> Gateway:
        judged: PolicyChain = chain(chains[len(rig.records) % 2])
        return gateway(judged)

    rig = await serve(current)
    answers = [await rig.check(check_request()) for _ in range(4)]
    assert [answer.status.code == 0 for answer in answers] == [False, True, False, True]
