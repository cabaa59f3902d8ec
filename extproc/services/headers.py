"""Header fields between the wire and plain Python."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.wrappers_pb2 import BoolValue

from extproc.core.headers import Headers
from extproc.wire.base_pb2 import HeaderMap, HeaderValue, HeaderValueOption

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
APPEND: Final = HeaderValueOption.HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD
REPLACING: Final = HeaderValueOption(append=BoolValue(value=False), append_action=OVERWRITE)
ADDING: Final = HeaderValueOption(append_action=APPEND)  # an Envoy that reads `append` alone adds a reply's cookies too


def decode_headers(header_map: HeaderMap) -> Headers:
    """Envoy fills `raw_value`, older or foreign ones `value`; pseudo-headers are told apart elsewhere."""
    fields = [
        (name.lower(), (item.raw_value or item.value.encode()).decode("latin-1"))
        for item in header_map.headers
        if (name := item.key)[:1] != ":"  # read once: each time makes a new text
    ]
    return Headers(tuple(fields))


def pseudo_header(header_map: HeaderMap, name: str) -> str:
    return next((text_of(item) for item in header_map.headers if item.key == name), "")


def text_of(item: HeaderValue) -> str:
    """One character per byte: whatever a client sends is text, and nothing is lost."""
    return (item.raw_value or item.value.encode()).decode("latin-1")


def call_metadata(context: grpc.aio.ServicerContext[Any, Any], name: str) -> str:
    """What the generated filters say beside their message (core.names.CALL_*); empty where another Envoy calls."""
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return str(value)
    return ""


def add_fields(
    options: RepeatedCompositeFieldContainer[HeaderValueOption],
    fields: Iterable[tuple[str, str]],
    beside: Collection[str] = (),
) -> None:
    """For ext_authz, which reads `value`. Overwriting is said in both ways that Envoy has read over the years:
    appending would join our identity header onto whatever the client sent. What is named again is a reply's next
    cookie, which is set beside the first; what is in `beside` is set beside what an upstream has set.

    Made in place and from a copy: building the same messages from their parts takes three times as long.
    """
    begun = set(beside)
    for name, value in fields:
        option = options.add()
        option.CopyFrom(ADDING if name in begun else REPLACING)
        begun.add(name)
        header = option.header
        header.key, header.value = name, value


def raw_options(fields: Iterable[tuple[str, str]]) -> list[HeaderValueOption]:
    """For ext_proc, which reads `raw_value` and refuses both at once. It overwrites unless `append` is set, whatever
    `append_action` says."""
    options, begun = list[HeaderValueOption](), set[str]()
    for name, value in fields:
        option = HeaderValueOption(header=HeaderValue(key=name, raw_value=value.encode("utf-8")))
        option.append_action = APPEND if name in begun else OVERWRITE
        if name in begun:
            option.append.value = True
        options.append(option)
        begun.add(name)
    return options
