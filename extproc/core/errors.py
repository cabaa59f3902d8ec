"""What can go wrong while deciding. A refusal is never an exception: it is a LocalReply.

ExtprocError
├── CouldNotDecide          the service answers with an explicit deny; carries the reason code and the HTTP status
│   ├── UnknownRoute        Envoy named a route, or a revision of the plan, that this sidecar does not hold
│   ├── InvalidCall         Envoy asked something that no limit can answer
│   ├── PolicyFailed        a policy raised, or returned something that is not a decision
│   ├── InvalidMutation     a policy asked for a header or body edit that Envoy must not make
│   ├── BodyTooLarge        a policy made a body that Envoy cannot hold, or an answer is longer than its route takes
│   ├── StoreUnavailable    a store could not answer in time, or is full
│   ├── Overloaded          as much is under way already as may be at the same time
│   └── ProviderUnavailable somebody outside could not be asked, or what was said was no answer
│       ├── NoAnswerInTime
│       └── AnswerTooLong
├── RefusedLimits           files with rate limits cannot be used; those before them stay in force
├── InvalidToken            a token is not believed; whoever asked turns that into a refusal
└── ProtocolViolation       Envoy's side of an ext_proc stream broke the order of messages; the stream is aborted
"""

from __future__ import annotations

from http import HTTPStatus


class ExtprocError(Exception):
    """The root of the tree."""


class CouldNotDecide(ExtprocError):
    """No decision was reached, which is a deny. `reason` is a metric label, `status` what the client gets."""

    reason = "could_not_decide"
    status = HTTPStatus.INTERNAL_SERVER_ERROR


class UnknownRoute(CouldNotDecide):
    """Envoy and sidecar hold different plans: an outage, not a refusal, hence 503."""

    reason = "unknown_route"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class InvalidCall(CouldNotDecide):
    """A call without a domain, or without descriptors: its text is told to whoever called."""

    reason = "invalid_call"


class PolicyFailed(CouldNotDecide):
    """A policy raised or answered with the wrong type."""

    reason = "policy_failed"


class InvalidMutation(CouldNotDecide):
    """A policy asked for an edit that could smuggle, forge identity or re-route."""

    reason = "invalid_mutation"


class BodyTooLarge(CouldNotDecide):
    """A body is longer than what Envoy holds of it: its own 500 would not say why."""

    reason = "body_too_large"


class StoreUnavailable(CouldNotDecide):
    """A counter or key store could not answer."""

    reason = "store_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class ProviderUnavailable(CouldNotDecide):
    """Somebody outside who had to be asked did not answer, or not with an answer: an outage, never a denial.

    Its text may name the host and the kind of failure, never what was sent or received.
    """

    reason = "provider_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class NoAnswerInTime(ProviderUnavailable):
    """There may be one later; nobody waits for it any more."""


class AnswerTooLong(ProviderUnavailable):
    """There was an answer, of which no more was read than may be."""


class Overloaded(CouldNotDecide):
    """Refused at once rather than late: what waits for an answer holds memory and connections meanwhile."""

    reason = "overloaded"
    status = HTTPStatus.SERVICE_UNAVAILABLE


class RefusedLimits(ExtprocError):
    """Says `FILE: what is wrong`, in the words that operators of envoyproxy/ratelimit know. `line` 0 is none."""

    def __init__(self, file: str, message: str, line: int = 0) -> None:
        super().__init__(f"{file}: {message}")
        self.file = file
        self.message = message
        self.line = line


class InvalidToken(ExtprocError):
    """Why a token is not believed, as a reason code: a decision already, but how it is told is the policy's to say."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProtocolViolation(ExtprocError):
    """A message that cannot follow the ones before it."""
