from __future__ import annotations

import pytest

from extproc.core.adaptation import adapt_body, adapt_event
from extproc.core.lens import Memory, NotAdaptable
from extproc.core.lens_building import Change, build

LENS = build([Change("rename", "name", "full_name")])


def test_a_body_is_adapted_as_it_is_spelled() -> None:
    assert adapt_body('{"name": "Zoë", "id": 1}'.encode(), LENS, Memory()) == '{"id":1,"full_name":"Zoë"}'.encode()


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1,"a":2}', b"\xff", b"NaN"])
def test_what_readers_would_not_understand_alike_is_not_adapted(body: bytes) -> None:
    with pytest.raises(NotAdaptable, match="not JSON"):
        adapt_body(body, LENS, Memory())


@pytest.mark.parametrize(
    ("event", "adapted"),
    [
        (b'data: {"name":"a"}\n\n', b'data: {"full_name":"a"}\n\n'),
        (b'event: user\nid: 7\ndata:{"name":\ndata:"a"}\n\n', b'event: user\nid: 7\ndata: {"full_name":"a"}\n\n'),
        (b'data: {"name":"a"}\r\n\r\n', b'data: {"full_name":"a"}\n\n'),
        (b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
        (b"data: 7\n\n", b"data: 7\n\n"),
        (b": keep-alive\n\n", b": keep-alive\n\n"),
        (b"retry: 10\n\n", b"retry: 10\n\n"),
    ],
)
def test_one_event_is_adapted_and_nothing_but_its_data(event: bytes, adapted: bytes) -> None:
    assert adapt_event(event, LENS, Memory()) == adapted
