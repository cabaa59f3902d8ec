"""An exchange whose response is edited, as Envoy and the sidecar lead it."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.core.decision import Continue, HeaderEdits
from extproc.core.message import Consumer, Response
from extproc.core.names import CALL_ADDRESS, CALL_REVISION
from extproc.core.record import Result
from extproc.wire.process_pb2 import ProcessingResponse
from tests.services.conftest import Serve
from tests.services.fakes import Answers, Edits
from tests.services.harness import WHOLE, chain, gateway
from tests.services.playbook import (
    GOES_WELL,
    Playbook,
    about,
    goes_on,
    goes_on_with_body,
    goes_on_with_request,
    request_headers,
    response_body,
    response_headers,
)

SHOWN = Continue(response=HeaderEdits(set=(("x-edited", "yes"),), remove=("server",)))
DECIDED = {
    "route": "orders", "revision": "r1", "consumer": "alice", "tier": "premium", "scopes": "orders:read orders:write",
}  # fmt: skip


async def test_a_buffered_body_is_edited_with_its_exact_length(serve: Serve) -> None:
    policies = (Edits(prefix=b"\xc3\xa9"), Answers(Continue(response=HeaderEdits(set=(("x-edited", "yes"),)))))
    rig = await serve(gateway(chain(response=policies), shown=WHOLE))
    await (
        Playbook()
        >> about(response_headers(("content-type", "text/plain"), ("content-length", "4")))
        << goes_on()
        >> response_body(b"body")
        << goes_on_with_body([("x-edited", "yes"), ("content-length", "6")], b"\xc3\xa9body")
        << GOES_WELL
    ).play(rig)


async def test_an_empty_body_may_be_filled(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Edits(prefix=b"new")]), shown=WHOLE))
    await (
        Playbook()
        >> about(response_headers())
        << goes_on()
        >> response_body(b"")
        << goes_on_with_body([("content-length", "3")], b"new")
        << GOES_WELL
    ).play(rig)


async def test_a_body_that_no_policy_replaces_keeps_its_bytes_and_its_length(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Answers()]), shown=WHOLE))
    await (
        Playbook()
        >> about(response_headers())
        << goes_on()
        >> response_body(b"body")
        << goes_on_with_body()
        << GOES_WELL
    ).play(rig)


async def test_a_body_that_is_emptied_has_the_length_nought(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Answers(Continue(body=b""))]), shown=WHOLE))
    await (
        Playbook()
        >> about(response_headers())
        << goes_on()
        >> response_body(b"body")
        << goes_on_with_body([("content-length", "0")], b"")
        << GOES_WELL
    ).play(rig)


async def test_a_response_without_a_body_is_judged_by_its_headers(serve: Serve) -> None:
    policy = Answers(SHOWN)
    rig = await serve(gateway(chain(response=[policy]), shown=WHOLE))
    await (
        Playbook()
        >> about(response_headers(status="204", end=True))
        << goes_on([("x-edited", "yes")], ["server"])
        << GOES_WELL
    ).play(rig)
    assert policy.responses == [Response(204)]


async def test_a_route_that_edits_headers_alone_never_waits_for_a_body(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Answers(SHOWN)])))
    await (Playbook() >> about(response_headers()) << goes_on([("x-edited", "yes")], ["server"]) << GOES_WELL).play(rig)


@pytest.mark.parametrize("answered", ["ext_authz_denied", "route_not_found", "upstream_response_timeout", "extproc_x"])
async def test_a_reply_that_no_upstream_made_passes_unedited(serve: Serve, answered: str) -> None:
    policy = Answers(SHOWN)
    rig = await serve(gateway(chain(response=[policy]), shown=WHOLE))
    await (
        Playbook()
        >> about(response_headers(status="401"), answered=answered)
        << goes_on()
        >> response_body(b"problem")
        << goes_on_with_body()
        << GOES_WELL
    ).play(rig)
    await (
        Playbook() >> about(response_headers(status="401", end=True), answered=answered) << goes_on() << GOES_WELL
    ).play(rig)
    assert (policy.responses, rig.records) == ([], [])


@pytest.mark.parametrize(
    ("answered", "edited"),
    [("via_upstream", [("x-edited", "yes")]), ("ext_authz_denied", []), ("", [("x-edited", "yes")])],
)
async def test_the_requests_headers_are_let_through_and_only_the_response_tells_who_answered(
    serve: Serve, answered: str, edited: list[tuple[str, str]]
) -> None:
    edit = Continue(response=HeaderEdits(set=(("x-edited", "yes"),)))
    rig = await serve(gateway(chain(response=[Answers(edit)])))
    await (
        Playbook()
        >> about(request_headers(), answered="")
        << goes_on_with_request()
        >> about(response_headers(), answered=answered)
        << goes_on(edited)
        << GOES_WELL
    ).play(rig)


async def test_who_is_asking_comes_from_what_ext_authz_decided(serve: Serve) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(response=[policy])))
    await (Playbook() >> about(response_headers(), decided=DECIDED) << goes_on() << GOES_WELL).play(rig)
    (context,) = policy.contexts
    assert context.consumer == Consumer("alice", "premium", ("orders:read", "orders:write"))
    (record,) = rig.records
    assert (record.consumer, record.tier) == ("alice", "premium")


async def test_who_is_anonymous_stays_anonymous_for_the_answer(serve: Serve) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(response=[policy])))
    decided = {"route": "orders", "revision": "r1", "anonymous": "anonymous", "tier": "guest"}
    await (Playbook() >> about(response_headers(), decided=decided) << goes_on() << GOES_WELL).play(rig)
    (context,) = policy.contexts
    assert context.consumer == Consumer("anonymous", "guest", anonymous=True)


async def test_an_anonymous_exchange_has_no_consumer(serve: Serve) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(response=[policy])))
    await (Playbook() >> about(response_headers()) << goes_on() << GOES_WELL).play(rig)
    assert policy.contexts[0].consumer is None


async def test_a_route_without_an_ext_authz_call_brings_its_revision_with_the_stream(serve: Serve) -> None:
    rig = await serve(gateway(chain(response=[Answers(SHOWN)])))
    await (
        Playbook() >> about(response_headers(), decided={}) << goes_on([("x-edited", "yes")], ["server"]) << GOES_WELL
    ).play(rig, [(CALL_REVISION, "r1")])


async def test_the_address_is_the_one_that_the_generated_filter_trusts(serve: Serve) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(response=[policy])))
    message = about(response_headers(), **dict[str, Any]({"source.address": "192.0.2.1:80"}))
    await (Playbook() >> message << goes_on() << GOES_WELL).play(rig, [(CALL_ADDRESS, "192.0.2.9")])
    assert policy.requests[0].address == rig.records[0].address == "192.0.2.9"


async def test_the_request_is_known_by_its_attributes(serve: Serve) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(response=[policy])))
    attributes: dict[str, Any] = {
        "request.method": "PUT", "request.path": "/a?b=c", "request.host": "shop.example", "request.scheme": "https",
        "source.address": "[2001:db8::7]:5000",
    }  # fmt: skip
    await (Playbook() >> about(response_headers(), **attributes) << goes_on() << GOES_WELL).play(rig)
    (seen,) = policy.requests
    assert (seen.method, seen.path, seen.query, seen.host, seen.scheme) == ("PUT", "/a", "b=c", "shop.example", "https")
    assert (seen.address, seen.id) == ("2001:db8::7", "id-1")
    (record,) = rig.records
    assert (record.service, record.result, record.route, record.request_id) == (
        "ext_proc", Result.ALLOW, "orders", "id-1",
    )  # fmt: skip


async def test_headers_are_set_by_raw_value_and_never_by_both(serve: Serve) -> None:
    edit = Continue(response=HeaderEdits(set=(("x-edited", "caf\u00e9"),)), body=b"new")
    rig = await serve(gateway(chain(response=[Answers(edit)]), shown=WHOLE))
    call = rig.process()
    await call.write(about(response_headers()))
    await call.read()
    await call.write(response_body(b"old"))
    reply = await call.read()
    assert isinstance(reply, ProcessingResponse)
    options = reply.response_body.response.header_mutation.set_headers
    assert [(item.header.key, item.header.raw_value, item.header.value) for item in options] == [
        ("x-edited", "caf\u00e9".encode(), ""),
        ("content-length", b"3", ""),
    ]
    await call.done_writing()
    assert not any(item.HasField("append") and item.append.value for item in options)
