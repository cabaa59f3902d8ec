"""Whatever is asked, an allow is returned only where the policy said so (ACCEPTANCE 32)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.decision import CONTINUE, Continue, Decision
from extproc.core.message import Request
from extproc.core.names import REVISION, ROUTE
from extproc.core.policy import Context, Policy
from extproc.services.ext_authz import decode
from extproc.wire.auth_pb2 import AttributeContext, CheckRequest, CheckResponse
from extproc.wire.base_pb2 import Address, HeaderMap, HeaderValue, SocketAddress
from tests.services.fakes import AdmitsOne
from tests.services.harness import Rig, chain, gateway

KEYS = ["x-pass", "X-Pass", "x-odd", ":path", "x-request-id", "x-consumer-id", "x-extproc-cluster", ""]
VALUES = [b"open sesame", b"open sesame ", b"open", b"", b"\xff\x00\r\n", b"open sesame,open sesame"]


class SaysWhatCannotBeSent(Policy):
    """Allows what it is asked about, and in some cases with a text that no message can carry."""

    async def on_request(self, request: Request, context: Context) -> Decision:
        return Continue(facts={"version": "\ud800"}) if "x-odd" in request.headers else CONTINUE


keys = st.sampled_from(KEYS) | st.text(max_size=12)
values = st.sampled_from(VALUES) | st.binary(max_size=24)
texts = st.text(max_size=16)
raw_fields = st.builds(HeaderValue, key=keys, raw_value=values) | st.builds(HeaderValue, key=keys, value=texts)
stamps = st.fixed_dictionaries(
    {}, optional={ROUTE: st.sampled_from(["orders"]) | texts, REVISION: st.sampled_from(["r1"]) | texts}
)
requests = st.builds(
    AttributeContext.HttpRequest,
    id=texts, method=texts, path=texts, host=texts, scheme=texts, query=texts, body=texts,
    size=st.integers(-(2**63), 2**63 - 1),
    headers=st.dictionaries(keys, texts | st.just("open sesame"), max_size=3),
    header_map=st.builds(HeaderMap, headers=st.lists(raw_fields, max_size=4)),
)  # fmt: skip


def _call(http: AttributeContext.HttpRequest, stamp: dict[str, str], address: str) -> CheckRequest:
    source = AttributeContext.Peer(address=Address(socket_address=SocketAddress(address=address)))
    asked = AttributeContext.Request(http=http)
    return CheckRequest(attributes=AttributeContext(source=source, request=asked, context_extensions=stamp))


def _damaged(call: CheckRequest, noise: bytes, at: int) -> CheckRequest:
    """Bytes written over the message, where they still make one."""
    wire = call.SerializeToString()
    try:
        return CheckRequest.FromString(wire[:at] + noise + wire[at + len(noise) :])
    except DecodeError:
        return call


calls = st.builds(_call, requests, stamps, texts)
NEARLY = HeaderMap(headers=[HeaderValue(key="x-pass", raw_value=b"open sesame")])
ODD = HeaderMap(headers=[*NEARLY.headers, HeaderValue(key="x-odd", raw_value=b"1")])
GOOD = AttributeContext.HttpRequest(method="GET", path="/", header_map=NEARLY)
BUT_ODD = AttributeContext.HttpRequest(method="GET", path="/", header_map=ODD)
nearly = st.builds(
    _call, requests | st.just(GOOD) | st.just(BUT_ODD), stamps | st.just({ROUTE: "orders", REVISION: "r1"}), texts
)
damaged = st.builds(_damaged, calls | nearly, st.binary(max_size=6), st.integers(0, 60))


def _may_pass(call: CheckRequest) -> bool:
    extensions = call.attributes.context_extensions
    stamped = extensions.get(ROUTE, "") == "orders" and extensions.get(REVISION, "") == "r1"
    headers = decode(call).headers
    return stamped and headers.all("x-pass") == ("open sesame",) and "x-odd" not in headers


def _is_explicit(answer: CheckResponse) -> bool:
    """Exactly one of the two forms that mean something, and the status that belongs to it."""
    if answer.status.code == 0:
        return answer.HasField("status") and answer.HasField("ok_response")
    return answer.HasField("denied_response") and answer.denied_response.status.code >= 400


def test_only_what_the_policy_admits_is_allowed(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        plan = gateway(chain(AdmitsOne(), SaysWhatCannotBeSent()))
        rig = runner.run(Rig(lambda: plan, tmp_path / "worker.sock").start())
        admitted = []

        @settings(max_examples=400, deadline=None)
        @given(calls | nearly | damaged)
        def whatever_is_asked(call: CheckRequest) -> None:
            answer = runner.run(rig.check(call))
            assert _is_explicit(answer)
            assert (answer.status.code == 0) == _may_pass(call)
            admitted.append(answer.status.code == 0)

        whatever_is_asked()
        runner.run(rig.stop())
        assert len(rig.records) == len(admitted)
        assert set(admitted) == {True, False}, "the examples must show both"
