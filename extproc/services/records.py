"""Outcome -> decision record, and failure -> refusal: what all three services share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from extproc.core.chain import Outcome
from extproc.core.decision import LocalReply, refusal
from extproc.core.errors import CouldNotDecide
from extproc.core.message import Request
from extproc.core.record import DecisionRecord, Result

ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Failure:
    """A decision that was not reached: what the client gets, and the sentence for the operator alone."""

    outcome: Outcome
    reply: LocalReply
    detail: str


def failure(error: Exception, so_far: Outcome | None = None) -> Failure:
    """The one function in which "could not decide" becomes an explicit refusal."""
    known = error if isinstance(error, CouldNotDecide) else CouldNotDecide(f"{type(error).__name__} in the sidecar")
    reply = refusal(known.status, known.reason, "the gateway could not decide about this request")
    cause = f" ({known.__cause__})" if known.__cause__ is not None else ""
    outcome = replace(so_far, decision=reply) if so_far else Outcome(reply)
    return Failure(outcome, reply, f"{known or known.reason}{cause}")


def record_of(service: str, route: str, request: Request, outcome: Outcome, took: int, detail: str) -> DecisionRecord:
    consumer, reply = outcome.consumer, outcome.decision
    refused = isinstance(reply, LocalReply)
    return DecisionRecord(
        service=service,
        result=(Result.ERROR if detail else Result.DENY) if refused else Result.ALLOW,
        reason=reply.reason if isinstance(reply, LocalReply) else ALLOWED,
        status=reply.status if isinstance(reply, LocalReply) else 0,
        route=route,
        request_id=request.id,
        method=request.method,
        host=request.host,
        path=request.path,
        address=request.address,
        consumer=consumer.id if consumer else "",
        tier=(consumer.tier or "") if consumer else "",
        duration=took,
        detail=detail,
        facts=outcome.facts,
        steps=tuple((step.policy, step.duration) for step in outcome.steps),
    )
