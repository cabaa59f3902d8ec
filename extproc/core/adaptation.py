"""A lens on what travels: a JSON body, or one event of a stream. Bytes in, bytes out."""

from __future__ import annotations

import json
from typing import Any, Final

from extproc.core.lens import Lens, Memory, NotAdaptable
from extproc.core.strict_json import loads_strictly

DATA: Final = b"data"


def adapt_body(body: bytes, lens: Lens, memory: Memory) -> bytes:
    """Raises NotAdaptable, also for what is no JSON."""
    try:
        document = loads_strictly(body)
    except ValueError:
        raise NotAdaptable((), "not JSON that every reader understands alike") from None
    return _written(lens.forward(document, memory))


def adapt_event(event: bytes, lens: Lens, memory: Memory) -> bytes:
    """One server-sent event, with the empty line that ends it. Other fields stay; data that is no JSON object or list,
    as the last `[DONE]` of a chat, is no document and stays too. Raises NotAdaptable.

    Several data lines are one text (HTML, server-sent events §9.2.6), and JSON is written as one line.
    """
    lines = event.splitlines()
    data = [_value(line) for line in lines if _field(line) == DATA]
    try:
        document = loads_strictly(b"\n".join(data))
    except ValueError:
        return event
    if not isinstance(document, dict | list):
        return event
    first = next(index for index, line in enumerate(lines) if _field(line) == DATA)
    kept = [line for line in lines if _field(line) != DATA]
    kept.insert(first, b"data: " + _written(lens.forward(document, memory)))
    return b"\n".join(kept) + (b"\n" if event[-1:] in (b"\n", b"\r") else b"")


def _field(line: bytes) -> bytes:
    return line.partition(b":")[0]


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].removeprefix(b" ")


def _written(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
