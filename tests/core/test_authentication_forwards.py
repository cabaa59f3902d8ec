"""Where a route forwards credentials, those that it reads stay on the request; everything else is as it was."""

from __future__ import annotations

from extproc.core.authentication import Authentication
from extproc.core.decision import Continue, LocalReply
from extproc.core.policy import Context
from tests.core.examples import ACME, Method, request

KEYS = Method("partners", "x-api-key", ACME, "ApiKey")
CONTEXT = Context("orders")


async def test_a_credential_is_removed_unless_the_route_forwards_it() -> None:
    for forwards, removed in ((False, ("x-api-key",)), (True, ())):
        decision = await Authentication((KEYS,), forwards=forwards).on_request(request({"x-api-key": "a"}), CONTEXT)
        assert isinstance(decision, Continue)
        assert decision.consumer is not None
        assert decision.request.remove == removed


async def test_a_second_credential_is_refused_all_the_same() -> None:
    judge = Authentication((KEYS,), foreign=("authorization",), forwards=True)
    decision = await judge.on_request(request({"x-api-key": "a", "authorization": "b"}), CONTEXT)
    assert isinstance(decision, LocalReply)
    assert decision.reason == "several_credentials"
