"""What a client sends and what a policy raises stays out of the log (ACCEPTANCE 86)."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from extproc.core.chain import Link, PolicyChain
from extproc.core.decision import Continue, Decision, refusal
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.message import Consumer, Request
from extproc.core.names import REVISION, ROUTE
from extproc.core.policy import Context, Policy
from extproc.services.ext_authz import ExtAuthz
from extproc.telemetry import JsonRecorder
from extproc.testing import FakeClock
from extproc.wire.auth_pb2 import AttributeContext, CheckRequest
from extproc.wire.base_pb2 import HeaderMap, HeaderValue

CANARY = "c4n4ry"


class Leaks(Policy):
    """Puts what the request carries wherever a policy can put something that is no header of the log's."""

    async def on_request(self, request: Request, context: Context) -> Decision:
        secret = request.headers.get("authorization") or ""
        if request.path == "/raise":
            raise ValueError(secret)
        if request.path == "/refuse":
            return refusal(401, "unknown_token", secret, headers={"www-authenticate": secret})
        return Continue(consumer=Consumer("alice", claims={"token": secret}))


class Call:
    """All of a gRPC call that Check looks at."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", CANARY),)


def logged(path: str) -> str:
    clock, stream = FakeClock(), io.StringIO()
    chain = PolicyChain("orders", (Link("leaks", Leaks(), authenticates=True),), clock)
    plan = Gateway("r1", {"orders": ServedRoute(chain)}, {})
    service = ExtAuthz(lambda: plan, clock, JsonRecorder(clock, lambda line: stream.write(line())))
    fields = [HeaderValue(key=name, raw_value=CANARY.encode()) for name in ("authorization", "cookie", "x-api-key")]
    http = AttributeContext.HttpRequest(
        method="POST", path=f"{path}?token={CANARY}", header_map=HeaderMap(headers=fields), body=CANARY,
        raw_body=CANARY.encode(), query=CANARY, fragment=CANARY,
    )  # fmt: skip
    asked = AttributeContext.Request(http=http)
    stamp = {ROUTE: "orders", REVISION: "r1"}
    context: Any = Call()
    asyncio.run(
        service.check(CheckRequest(attributes=AttributeContext(request=asked, context_extensions=stamp)), context)
    )
    return stream.getvalue()


def test_no_secret_of_a_request_is_in_the_record_of_an_allow() -> None:
    text = logged("/allow")
    assert '"result":"allow"' in text
    assert CANARY not in text


def test_no_secret_of_a_request_is_in_the_record_of_a_refusal() -> None:
    text = logged("/refuse")
    assert '"reason":"unknown_token"' in text
    assert CANARY not in text


def test_no_text_of_an_exception_is_in_the_record_of_a_failure() -> None:
    text = logged("/raise")
    assert "raised ValueError (test_secrets.py:" in text
    assert CANARY not in text
