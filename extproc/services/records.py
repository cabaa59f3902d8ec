"""Outcome -> decision record, and failure -> refusal: what all three services share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from extproc.core.chain import reached
from extproc.core.decision import UNSETTABLE, LocalReply, refusal
from extproc.core.errors import CouldNotDecide, InvalidMutation, PolicyFailed
from extproc.core.message import Request
from extproc.core.outcome import Outcome
from extproc.core.own_answers import OwnAnswer, OwnStream
from extproc.core.record import DecisionRecord, Result

ALLOWED: Final = "allowed"
PACKAGE: Final = "extproc"
QUOTED: Final = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
UNDECIDED: Final = "the gateway could not decide about this request"
T = TypeVar("T")
Readable = TypeVar("Readable", bound=Message)


async def decided(asked: Awaitable[T]) -> T:
    """What was asked for, or an Exception. grpc.aio answers nothing at all, and the caller waits, when anything else
    gets out of a call that nobody cancelled: awaiting a cancelled task of one's own raises CancelledError, for one."""
    try:
        return await asked
    except Exception:
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise PolicyFailed(f"a policy raised {type(error).__name__}") from error


def reading(kind: type[Readable]) -> Callable[[bytes], Readable]:
    """Bytes that are no such message read as an empty one: it names no route, so it is refused like any other that does
    not, and recorded. What grpc answers by itself nobody would record."""

    def read(wire: bytes) -> Readable:
        try:
            return kind.FromString(wire)
        except DecodeError:
            return kind()

    return read


def cancelled(error: asyncio.CancelledError) -> Failure:
    """Envoy's deadline passed, or its client went away. What the policies have done by then is still recorded."""
    return failure(CouldNotDecide("the call was cancelled"), reached(error))


@dataclass(frozen=True, slots=True)
class Failure:
    """A decision that was not reached: what the client gets, and the sentence for the operator alone."""

    outcome: Outcome
    reply: LocalReply
    detail: str


def failure(error: Exception, so_far: Outcome | None = None) -> Failure:
    """The one function in which "could not decide" becomes an explicit refusal. What the chain had found out until then
    stays known: it is for the record, and for Envoy's."""
    expected = isinstance(error, CouldNotDecide)
    known = error if isinstance(error, CouldNotDecide) else CouldNotDecide(f"{type(error).__name__} in the sidecar")
    reply = _refusal(known)
    so_far = so_far or reached(error)
    outcome = replace(so_far, decision=reply) if so_far else Outcome(reply)
    said = _said(known, {step.policy for step in outcome.steps})
    return Failure(outcome, reply, said + _place(known.__cause__ if expected else error))


def _refusal(known: CouldNotDecide) -> LocalReply:
    """A policy may derive its own error, with a reason or a status that no refusal can have."""
    try:
        reply = refusal(known.status, known.reason, UNDECIDED)
    except Exception:  # noqa: BLE001 - this is the last stop: it must refuse whatever it is given
        reply = None
    if reply is None or not reply.refuses:
        return refusal(CouldNotDecide.status, CouldNotDecide.reason, UNDECIDED)
    return reply


def _said(known: CouldNotDecide, policies: AbstractSet[str]) -> str:
    """What it says, where it was raised in this package; what another author wrote may quote what the client sent. So
    may an edit that must not be made: of its quotations, only names that are known anyway are kept."""
    raised = _raised(known)
    if raised is not None and str(raised.tb_frame.f_globals.get("__name__")).partition(".")[0] != PACKAGE:
        return known.reason + _place(known)
    if not isinstance(known, InvalidMutation):
        return str(known) or known.reason
    return QUOTED.sub(lambda found: found[0] if found[0][1:-1] in UNSETTABLE | policies else "...", str(known))


def _place(cause: BaseException | None) -> str:
    """Where it was raised, never what it says."""
    trace = _raised(cause)
    return f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""


def _raised(error: BaseException | None) -> TracebackType | None:
    trace = error.__traceback__ if error else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def record_of(service: str, route: str, request: Request, outcome: Outcome, took: int, detail: str) -> DecisionRecord:
    consumer, reply = outcome.consumer, outcome.decision
    result, reason, status, policy = Result.ALLOW, ALLOWED, 0, ""
    if isinstance(reply, OwnAnswer | OwnStream):
        reason, status = reply.reason, reply.status
    if isinstance(reply, LocalReply):
        result = Result.ERROR if detail else Result.DENY
        reason, status, policy = reply.reason, reply.status, outcome.ended_by
    steps = tuple([(name, duration) for name, _, duration in outcome.steps])
    who, tier = (consumer.id, consumer.tier or "") if consumer else ("", "")
    # In the record's own order: by name, one would take twice as long to make.
    return DecisionRecord(
        service, result, reason, route, policy,
        request.id, request.method, request.host, request.path, request.address,
        who, tier, status, took, detail, outcome.facts, steps, outcome.judged,
    )  # fmt: skip
