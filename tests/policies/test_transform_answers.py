"""What is edited in answers: whole ones, and those that pass event by event or line by line."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest
from pydantic import ValidationError

from extproc.core.decision import CONTINUE, Continue
from extproc.core.framing import LONGEST_RECORD
from extproc.core.headers import Headers
from extproc.core.message import Response
from extproc.core.policy import Context, Phase, phases_of
from extproc.core.streams import BodyEditor
from extproc.policies.transform import Transform, TransformSettings
from extproc.policies.transform.encodings import decode, encode
from extproc.testing import fake_ports
from tests.policies.asking import asking

CONTEXT: Final = Context("orders", None, 4096)
EVENTS: Final = {"json": {"set": {"n": "event.json.n + 1"}, "remove": ["secret"]}}


def settings(**response: object) -> TransformSettings:
    return TransformSettings.model_validate({"response": response})


def answer(body: bytes | None, kind: str = "application/json", status: int = 200, **more: str) -> Response:
    fields = {"content-type": kind, **{name.replace("_", "-"): value for name, value in more.items()}}
    return Response(status, Headers.of(fields), body)


async def edited(response: Response, **edits: object) -> Continue:
    decision = await Transform.build(settings(**edits), fake_ports()).on_response(response, asking(), CONTEXT)
    assert isinstance(decision, Continue)
    return decision


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_an_answer_goes_on_in_the_coding_in_which_it_came(coding: str) -> None:
    response = answer(encode(coding, b'{"a": 1}'), content_encoding=coding)
    decision = await edited(response, json={"set": {"b": "2"}})
    assert decision.body is not None
    assert decode(coding, decision.body, 4096) == b'{"a":1,"b":2}'


async def test_what_another_body_makes_untrue_is_removed_and_only_that() -> None:
    response = answer(b'{"a": 1}', etag='"x"', last_modified="today", content_digest="x")
    decision = await edited(response, json={"set": {"b": "2"}})
    assert decision.response.remove == ("etag", "content-digest")
    assert (await edited(response, headers={"x-a": "'1'"})).response.remove == ()


async def test_a_part_of_an_answer_and_a_bomb_pass_as_they_are() -> None:
    for response in (
        answer(b'{"a": 1}', status=206, content_range="bytes 0-7/100"),
        answer(encode("gzip", b" " * 10_000), content_encoding="gzip"),
    ):
        assert await edited(response, json={"set": {"b": "2"}}) is CONTINUE


async def test_a_whole_body_has_a_type_of_its_own_and_no_coding() -> None:
    response = answer(encode("gzip", b'{"a": 1}'), content_encoding="gzip")
    decision = await edited(response, body="{'was': response.json.a}")
    assert decision.body == b'{"was":1}'
    assert decision.response.remove == ("content-encoding",)
    assert dict(decision.response.set) == {"content-type": "application/json"}
    decision = await edited(response, body="'plain'")
    assert (decision.body, dict(decision.response.set)["content-type"]) == (b"plain", "text/plain; charset=utf-8")


async def test_texts_are_replaced_in_text_and_in_json() -> None:
    texts: dict[str, Any] = {"text": [{"replace": "http://inside", "with": "https://out"}, {"replace": "x"}]}
    assert (await edited(answer(b"<a href=http://inside/x>", "text/html"), **texts)).body == b"<a href=https://out/>"
    assert (await edited(answer(b'{"u":"http://inside"}'), **texts)).body == b'{"u":"https://out"}'
    assert (await edited(answer(b"http://inside", "image/png"), **texts)).body is None
    assert (await edited(answer(b"nothing", "text/plain"), **texts)).body is None


STREAM: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"


async def stream(pieces: list[bytes], kind: str = STREAM, **edits: object) -> bytes:
    return b"".join([given async for given in _given(pieces, kind, edits)])


async def _given(pieces: list[bytes], kind: str, edits: dict[str, Any]) -> Any:
    policy = Transform.build(settings(**(edits or {"events": EVENTS})), fake_ports())
    editor = await policy.on_stream(answer(None, kind), asking(), CONTEXT)
    for piece in pieces:
        yield piece if editor is None else await editor.feed(piece)
    yield b"" if editor is None else await editor.finish()


PASSED: Final[dict[str, tuple[bytes, bytes]]] = {
    "one event": (b'data: {"n":1,"secret":"x"}\n\n', b'data: {"n":2}\n\n'),
    "its other fields": (
        b': hi\nid: 7\nevent: add\ndata: {"n":1}\nretry: 5\n\n',
        b': hi\nid: 7\nevent: add\ndata: {"n":2}\nretry: 5\n\n',
    ),
    "CRLF": (b'data: {"n":1}\r\n\r\ndata: {"n":2}\r\n\r\n', b'data: {"n":2}\r\n\r\ndata: {"n":3}\r\n\r\n'),
    "CR": (b'data: {"n":1}\r\rdata: {"n":2}\r\r', b'data: {"n":2}\r\rdata: {"n":3}\r\r'),
    "data on two lines": (b'data: {"n":\ndata: 1}\n\n', b'data: {"n":2}\n\n'),
    "no space": (b'data:{"n":1}\n\n', b'data: {"n":2}\n\n'),
    "a comment": (b": ping\n\n", b": ping\n\n"),
    "the end": (b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
    "no JSON": (b"data: hello {\n\n", b"data: hello {\n\n"),
    "a list": (b"data:  [1]\n\n", b"data:  [1]\n\n"),
    "a name twice": (b'data: {"n":1,"n":2}\n\n', b'data: {"n":1,"n":2}\n\n'),
    "a mark of byte order": (b'\xef\xbb\xbfdata: {"n":1}\n\n', b'data: {"n":2}\n\n'),
    "an event that never ends": (b'data: {"n":1}\n\ndata: {"n":5}\n', b'data: {"n":2}\n\ndata: {"n":5}\n'),
    "nothing": (b"", b""),
    "more characters than one byte has": ('data: {"n":1,"é":"😀"}\n\n'.encode(), 'data: {"n":2,"é":"😀"}\n\n'.encode()),
}  # fmt: skip


def splits(body: bytes) -> Iterator[list[bytes]]:
    yield [body]
    yield [body[at : at + 1] for at in range(len(body))]
    chance = random.Random(7)  # noqa: S311 - the same pieces in every run
    for _ in range(20):
        cuts = sorted(chance.randrange(len(body) + 1) for _ in range(4))
        yield [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


@pytest.mark.parametrize("case", PASSED)
async def test_an_event_is_edited_in_whatever_pieces_it_comes(case: str) -> None:
    came, expected = PASSED[case]
    for pieces in splits(came):
        assert await stream(pieces) == expected, pieces


async def test_the_type_of_an_event_can_be_asked_for() -> None:
    events: dict[str, Any] = {"events": {"json": {"set": {"type": "event.type"}}}}
    assert await stream([b"event: a\ndata: {}\n\ndata: {}\n\n"], **events) == (
        b'event: a\ndata: {"type":"a"}\n\ndata: {"type":"message"}\n\n'
    )


async def test_each_line_is_edited_and_the_last_one_too() -> None:
    for pieces in splits(b'{"n":1}\n\n{"n":2}\r\n[1]\n{"n":3}'):
        assert await stream(pieces, LINES) == b'{"n":2}\n\n{"n":3}\r\n[1]\n{"n":4}'


async def test_an_event_leaves_as_soon_as_it_is_whole() -> None:
    editor = await _editor()
    assert await editor.feed(b'data: {"n":1}\n') == b""
    assert await editor.feed(b"\ndata") == b'data: {"n":2}\n\n'


async def test_an_event_that_is_too_long_passes_as_it_is_and_is_not_kept() -> None:
    editor = await _editor()
    given, kept = 0, b"data: " + b"x" * LONGEST_RECORD
    passed = await editor.feed(kept)
    for _ in range(100):
        passed = await editor.feed(b"y" * 1000)
        given += len(passed)
    assert given == 100_000
    assert await editor.feed(b'\n\ndata: {"n":1}\n\n') == b'yyy\n\ndata: {"n":2}\n\n'


async def _editor() -> BodyEditor:
    policy = Transform.build(settings(events=EVENTS), fake_ports())
    editor = await policy.on_stream(answer(None, STREAM), asking(), CONTEXT)
    assert editor is not None
    return editor


async def test_what_is_no_stream_is_edited_whole_where_it_is_short_enough() -> None:
    edits: dict[str, Any] = {"events": EVENTS, "json": {"set": {"whole": "true"}}}
    document = json.dumps({"a": 1}).encode()
    for pieces in splits(document):
        assert await stream(pieces, "application/json", **edits) == b'{"a":1,"whole":true}'
    long = json.dumps({"a": "x" * 5000}).encode()
    assert await stream([long[:3000], long[3000:]], "application/json", **edits) == long
    assert await stream([document], "text/plain", **edits) == document


def test_a_stream_is_asked_for_only_where_events_are_edited() -> None:
    assert phases_of(Transform, settings(events=EVENTS)) == {Phase.RESPONSE_STREAM}
    assert phases_of(Transform, settings(events=EVENTS, json={"remove": ["a"]})) == {Phase.RESPONSE_STREAM}
    assert phases_of(Transform, settings(body="'x'")) == {Phase.RESPONSE_BODY}
    assert phases_of(Transform, settings(remove_headers=["x-a"])) == {Phase.RESPONSE}


def test_headers_of_a_stream_cannot_be_made_of_its_body() -> None:
    with pytest.raises(ValidationError, match="leave before"):
        settings(events=EVENTS, headers={"x-a": "response.json.a"})
