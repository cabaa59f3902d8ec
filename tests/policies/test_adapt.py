"""Bodies in the words of another version, there and back; what is no document of the API passes as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extproc.core.decision import CONTINUE, Decision
from extproc.core.errors import CouldNotDecide
from extproc.core.headers import Headers
from extproc.core.lens_building import Change, build
from extproc.core.message import Response
from extproc.core.policy import Phase, phases_of
from extproc.core.specs import AdaptSpec
from extproc.policies.adapt import EVENTS, MOST_KEPT, Adapt
from extproc.testing import fake_ports
from tests.policies.asking import CALLED, asking, passed, refused

CHANGES = [Change("rename", "name", "full_name"), Change("convert", "state", {"on": "enabled"})]
BOTH = AdaptSpec("v1", "v2", build(CHANGES), build(CHANGES))
JSON = {"content-type": "application/json"}


def adapting(spec: AdaptSpec = BOTH) -> Adapt:
    policy = Adapt.build(spec, fake_ports())
    assert isinstance(policy, Adapt)
    return policy


async def answered(document: object, status: int = 200, **headers: str) -> Decision:
    fields = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await adapting().on_response(Response(status, Headers.of(fields), body), asking(), CALLED)


async def forwarded(document: object, **headers: str) -> Decision:
    fields = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await adapting().on_forward(asking(fields, method="POST", body=body), CALLED)


def body_of(decision: Decision) -> Any:
    return json.loads(passed(decision).body or b"")


async def test_an_answer_goes_the_way_back() -> None:
    decision = await answered({"full_name": "Ada", "state": "enabled"})
    assert body_of(decision) == {"name": "Ada", "state": "on"}
    assert "content-digest" in passed(decision).response.remove


async def test_a_request_goes_the_way_there() -> None:
    assert body_of(await forwarded({"name": "Ada", "state": "on"})) == {"full_name": "Ada", "state": "enabled"}


@pytest.mark.parametrize("status", [101, 300, 302, 400, 404, 500])
async def test_an_answer_that_is_not_good_passes_as_it_is(status: int) -> None:
    assert await answered({"full_name": "Ada"}, status) is CONTINUE


@pytest.mark.parametrize("media_type", ["text/html", "application/problem+json", "text/event-stream", ""])
async def test_an_answer_of_another_media_type_passes_as_it_is(media_type: str) -> None:
    assert await answered(b'{"full_name": "Ada"}', content_type=media_type) is CONTINUE


async def test_an_answer_of_the_apis_own_media_type_is_adapted() -> None:
    decision = await answered({"full_name": "Ada"}, content_type="application/vnd.shop.v2+json; charset=utf-8")
    assert body_of(decision) == {"name": "Ada"}


async def test_an_answer_without_a_body_passes() -> None:
    assert await answered(b"", 204) is CONTINUE


@pytest.mark.parametrize(
    ("document", "headers"),
    [
        ({"state": "unheard"}, {}),
        (b"{", {}),
        (b'{"full_name": 1, "full_name": 2}', {}),
        ({"full_name": "Ada"}, {"content_encoding": "gzip"}),
        ({"full_name": "Ada"}, {"content_range": "bytes 0-20/100"}),
    ],
)
async def test_a_good_answer_that_is_no_document_is_502_and_tells_no_value(
    document: object, headers: dict[str, str]
) -> None:
    decision = await answered(document, 200, **headers)
    assert refused(decision) == (502, "answer_not_adaptable")
    assert "unheard" not in repr(decision.facts)
    assert decision.facts["not_adaptable"].startswith("at ")


async def test_a_request_that_is_no_document_is_422_and_told_where() -> None:
    decision = await forwarded({"state": "unheard"})
    assert refused(decision) == (422, "body_not_adaptable")


@pytest.mark.parametrize(
    "headers", [{"content_type": "text/plain"}, {"content_type": ""}, {"content_encoding": "gzip"}]
)
async def test_a_body_that_cannot_be_read_must_not_get_past_the_adaptation(headers: dict[str, str]) -> None:
    assert refused(await forwarded({"name": "Ada"}, **headers)) == (415, "body_not_json")


async def test_a_request_without_a_body_passes() -> None:
    assert await forwarded(b"") is CONTINUE


def test_nothing_is_shown_that_is_not_changed() -> None:
    empty = build([])
    assert phases_of(Adapt, AdaptSpec("v1", "v2", empty, empty)) == frozenset()
    assert phases_of(Adapt, AdaptSpec("v1", "v2", empty, build(CHANGES))) == {Phase.RESPONSE_BODY}
    assert phases_of(Adapt, AdaptSpec("v1", "v2", build(CHANGES), empty)) == {Phase.REQUEST_BODY}
    assert phases_of(Adapt, AdaptSpec("v1", "v2", empty, build(CHANGES), stream=True)) == {Phase.RESPONSE_STREAM}


STREAM = AdaptSpec("v1", "v2", build([]), build(CHANGES), stream=True)
NEW = b'{"full_name":"Ada"}'
OLD = b'{"name":"Ada"}'
STREAMS = [
    ("text/event-stream", b"event: user\ndata: " + NEW + b"\n\ndata: [DONE]\n\n",
     b"event: user\ndata: " + OLD + b"\n\ndata: [DONE]\n\n"),
    ("text/event-stream; charset=utf-8", b": hi\r\n\r\ndata: " + NEW + b"\r\n\r\n",
     b": hi\r\n\r\ndata: " + OLD + b"\n\n"),
    ("application/x-ndjson", NEW + b"\n\n" + NEW, OLD + b"\n\n" + OLD),
    ("application/json", NEW, OLD),
]  # fmt: skip


async def streamed(media_type: str, pieces: list[bytes], status: int = 200, **headers: str) -> bytes | None:
    fields = {"content-type": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    editor = await adapting(STREAM).on_stream(Response(status, Headers.of(fields)), asking(), CALLED)
    if editor is None:
        return None
    return b"".join([*[await editor.feed(piece) for piece in pieces], await editor.finish()])


@pytest.mark.parametrize(("media_type", "sent", "adapted"), STREAMS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_a_stream_is_adapted_however_it_is_cut(media_type: str, sent: bytes, adapted: bytes, size: int) -> None:
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert await streamed(media_type, pieces) == adapted


async def test_an_event_is_passed_on_as_soon_as_it_is_whole() -> None:
    editor = await adapting(STREAM).on_stream(Response(200, Headers.of({"content-type": EVENTS})), asking(), CALLED)
    assert editor is not None
    assert await editor.feed(b"data: " + NEW + b"\n") == b""
    assert await editor.feed(b"\ndata: ") == b"data: " + OLD + b"\n\n"


@pytest.mark.parametrize(
    ("media_type", "status"), [("text/html", 200), (EVENTS, 500), ("application/problem+json", 200)]
)
async def test_a_stream_that_is_no_document_passes_as_it_is(media_type: str, status: int) -> None:
    assert await streamed(media_type, [], status) is None


async def test_a_stream_that_makes_no_sense_ends_there() -> None:
    with pytest.raises(CouldNotDecide, match="the table does not have"):
        await streamed(EVENTS, [b'data: {"state":"unheard"}\n\n'])
    with pytest.raises(CouldNotDecide, match="belong together"):
        await streamed(EVENTS, [b"data: x"] + [b"x" * 1000] * (MOST_KEPT // 1000 + 1))
    with pytest.raises(CouldNotDecide, match="encoded"):
        await streamed(EVENTS, [], content_encoding="br")
