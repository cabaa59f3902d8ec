"""What is edited in requests, and which bodies are refused because two servers could read them differently."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Final

import brotli
import pytest
from pydantic import ValidationError

from extproc.core.decision import Continue, Decision, LocalReply
from extproc.core.errors import InvalidMutation
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.policy import Context, Phase, phases_of
from extproc.policies.transform import Transform, TransformSettings
from extproc.policies.transform.encodings import DECODERS, ENCODERS, TooLong, Unreadable, decode, encode
from extproc.testing import fake_ports

LIMIT: Final = 4096
JSON: Final = ("content-type", "application/json")


def settings(**request: object) -> TransformSettings:
    return TransformSettings.model_validate({"request": request})


async def decided(request: Request, **edits: object) -> Decision:
    policy = Transform.build(settings(**edits), fake_ports())
    return await policy.on_forward(request, Context("orders", Consumer("acme", "free"), LIMIT))


def post(body: bytes | None, *fields: tuple[str, str], query: str = "") -> Request:
    return Request("POST", "/orders", query=query, headers=Headers.of(fields or (JSON,)), body=body)


async def edited(document: object, **edits: object) -> Any:
    decision = await decided(post(json.dumps(document).encode()), **edits)
    assert isinstance(decision, Continue)
    return None if decision.body is None else json.loads(decision.body)


LINES: Final[dict[str, tuple[dict[str, object], tuple[object, ...]]]] = {
    "a method": ({"method": "'PUT'"}, ("PUT", None, None)),
    "a path": ({"path": "'/v2' + request.path"}, (None, "/v2/orders", None)),
    "a path with what no path has": ({"path": "'/a b/?é'"}, (None, "/a%20b/%3F%C3%A9", None)),
    "a parameter": ({"query": {"set": {"who": "consumer.id + '&'"}}}, (None, None, "a=1&b=x%20y&a=2&who=acme%26")),
    "one that is there": ({"query": {"set": {"a": "'3'"}}}, (None, None, "b=x%20y&a=3")),
    "one less": ({"query": {"remove": ["a"]}}, (None, None, "b=x%20y")),
    "another name": ({"query": {"rename": {"a": "c"}}}, (None, None, "c=1&b=x%20y&c=2")),
}


@pytest.mark.parametrize("case", LINES)
async def test_the_line_of_a_request_is_rewritten(case: str) -> None:
    edits, expected = LINES[case]
    decision = await decided(post(None, query="a=1&b=x%20y&a=2"), **edits)
    assert isinstance(decision, Continue)
    assert decision.rewrite is not None
    assert (decision.rewrite.method, decision.rewrite.path, decision.rewrite.query) == expected


@pytest.mark.parametrize("name", ["%61", "a"])
async def test_a_parameter_is_removed_however_it_is_spelt(name: str) -> None:
    decision = await decided(post(None, query=f"{name}=1&b"), query={"remove": ["a"]})
    assert isinstance(decision, Continue)
    assert decision.rewrite is not None
    assert decision.rewrite.query == "b"


@pytest.mark.parametrize("path", ["'orders'", "'/a/../b'", "'/a/%2e%2e/b'", "'/a%2fb'", "'//a'", "'/..;x/a'", "'/%zz'"])
async def test_a_path_that_could_be_taken_for_another_is_nobodys(path: str) -> None:
    with pytest.raises(InvalidMutation):
        await decided(post(None), path=path)


EDITS: Final[dict[str, tuple[dict[str, object], object, object]]] = {
    "set": ({"set": {"a.b": "request.json.c + 1"}}, {"c": 1}, {"c": 1, "a": {"b": 2}}),
    "default, where there is none": ({"default": {"a": "1"}}, {}, {"a": 1}),
    "default, where there is one": ({"default": {"a": "1"}}, {"a": None, "b": 1}, {"a": None, "b": 1}),
    "remove": ({"remove": ["a.b", "gone.x"]}, {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
    "rename, in its place": ({"rename": {"a": "z"}}, {"a": 1, "b": 2}, {"z": 1, "b": 2}),
    "map": ({"map": {"a": "value * 2"}}, {"a": 21}, {"a": 42}),
    "of every item": (
        {"map": {"items[].price": "value * 100"}, "remove": ["items[].secret"], "rename": {"items[].id": "item"}},
        {"items": [{"id": 1, "price": 2, "secret": 3}, {"price": 4}]},
        {"items": [{"item": 1, "price": 200}, {"price": 400}]},
    ),
    "of one item": ({"set": {"items[1].a": "'x'"}}, {"items": [{}, {}]}, {"items": [{}, {"a": "x"}]}),
    "every item itself": ({"map": {"items[]": "string(value)"}}, {"items": [1, 2]}, {"items": ["1", "2"]}),
    "an item less": ({"remove": ["items[0]"]}, {"items": [1, 2]}, {"items": [2]}),
    "no such item": ({"remove": ["items[7]"], "set": {"b": "1"}}, {"items": [1]}, {"items": [1], "b": 1}),
    "a list": ({"map": {"[].n": "value + 1"}}, [{"n": 1}, {"n": 2}], [{"n": 2}, {"n": 3}]),
    "two members swapped": (
        {"set": {"a": "request.json.b", "b": "request.json.a"}}, {"a": 1, "b": 2}, {"a": 2, "b": 1},
    ),
    "all in their order": (
        {"rename": {"a": "b"}, "remove": ["c"], "map": {"b": "value + 1"}, "default": {"c": "9"}, "set": {"d": "0"}},
        {"a": 1, "c": 2}, {"b": 2, "c": 9, "d": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
async def test_members_become_what_is_declared(case: str) -> None:
    edits, document, expected = EDITS[case]
    assert await edited(document, json=edits) == expected


async def test_a_whole_body_is_made_of_the_request() -> None:
    assert await edited({"n": 2}, body="{'twice': request.json.n * 2, 'by': consumer.id}") == {"twice": 4, "by": "acme"}


async def test_texts_are_replaced_in_their_charset_and_in_nothing_but_text() -> None:
    texts = {"text": [{"replace": "ä", "with": "ö"}]}
    for charset, codec in (("utf-8", "utf-8"), ("iso-8859-1", "latin-1")):
        said = post("<ä>".encode(codec), ("content-type", f"text/plain; charset={charset}"))
        decision = await decided(said, **texts)
        assert isinstance(decision, Continue)
        assert decision.body == "<ö>".encode(codec)
    for kind in ("application/octet-stream", "text/plain; charset=utf-16"):
        decision = await decided(post("<ä>".encode(), ("content-type", kind)), **texts)
        assert isinstance(decision, Continue)
        assert decision.body is None


DEEP: Final = b"[" * 10_000 + b"]" * 10_000
REFUSED: Final[dict[str, tuple[bytes, tuple[tuple[str, str], ...], int]]] = {
    "a name twice": (b'{"model":"a","model":"c"}', (JSON,), 400),
    "names that differ in case": (b'{"model":"a","Model":"b"}', (JSON,), 400),
    "another case alone": (b'{"MODEL":"a"}', (JSON,), 400),
    "deeper than deep": (DEEP[:LIMIT], (JSON,), 400),
    "not a number": (b'{"a":NaN}', (JSON,), 400),
    "five thousand digits": (b'{"a":' + b"1" * 5_000 + b"}", (JSON,), 400),
    "numbers that take time": (b'{"a":[' + b",".join([b"9" * 400] * 9) + b"]}", (JSON,), 400),
    "no utf-8": (b'{"a":"\xff"}', (JSON,), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', (JSON,), 400),
    "broken": (b'{"a":', (JSON,), 400),
    "no object": (b'"text"', (JSON,), 400),
    "another type": (b'{"model":"a"}', (("content-type", "text/plain"),), 415),
    "no type": (b'{"model":"a"}', (("x-any", "1"),), 415),
    "utf-16": ('{"a":1}'.encode("utf-16"), (("content-type", "application/json; charset=utf-16"),), 415),
    "an unknown coding": (b"x", (JSON, ("content-encoding", "compress")), 415),
    "two codings": (b"x", (JSON, ("content-encoding", "gzip, br")), 415),
    "no gzip": (b"x", (JSON, ("content-encoding", "gzip")), 400),
    "half a gzip": (gzip.compress(b'{"a":1}')[:-4], (JSON, ("content-encoding", "gzip")), 400),
    "a gzip bomb": (gzip.compress(b" " * 50_000_000), (JSON, ("content-encoding", "gzip")), 413),
    "a brotli bomb": (brotli.compress(b" " * 50_000_000, quality=5), (JSON, ("content-encoding", "br")), 413),
    "a zstd bomb": (encode("zstd", b" " * 50_000_000), (JSON, ("content-encoding", "zstd")), 413),
    "a deflate bomb": (zlib.compress(b" " * 50_000_000), (JSON, ("content-encoding", "deflate")), 413),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_body_that_servers_could_read_differently_is_refused(case: str) -> None:
    body, fields, status = REFUSED[case]
    decision = await decided(post(body, *fields), json={"remove": ["model"]})
    assert isinstance(decision, LocalReply)
    assert decision.status == status
    assert json.loads(decision.body)["reason"] == decision.reason


async def test_a_request_without_a_body_passes_where_members_are_edited() -> None:
    decision = await decided(post(None), json={"set": {"a": "1"}})
    assert isinstance(decision, Continue)
    assert decision.body is None


@pytest.mark.parametrize("coding", DECODERS)
async def test_a_body_goes_on_in_the_coding_in_which_it_came(coding: str) -> None:
    body = encode(coding, json.dumps({"a": "x" * 1000}).encode())
    decision = await decided(post(body, JSON, ("content-encoding", coding)), json={"set": {"b": "1"}})
    assert isinstance(decision, Continue)
    assert decision.body is not None
    assert json.loads(decode(coding, decision.body, LIMIT)) == {"a": "x" * 1000, "b": 1}
    assert decision.request.remove == ()


@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("size", [1, 1000, LIMIT - 1, LIMIT])
def test_what_is_packed_is_unpacked_up_to_the_limit_and_no_further(coding: str, size: int) -> None:
    plain = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    packed = ENCODERS[coding](plain)
    assert decode(coding, packed, size) == plain
    with pytest.raises(TooLong):
        decode(coding, packed, size - 1)
    for cut in (1, len(packed) // 2, len(packed) - 1):
        with pytest.raises((Unreadable, TooLong)):
            decode(coding, packed[:cut], size)


def test_members_of_gzip_and_frames_of_zstd_follow_each_other_and_deflate_may_be_bare() -> None:
    for coding in ("gzip", "zstd"):
        assert decode(coding, encode(coding, b"one") + encode(coding, b"two"), 6) == b"onetwo"
    bare = zlib.compressobj(wbits=-15)
    assert decode("deflate", bare.compress(b"text") + bare.flush(), 4) == b"text"


PHASES: Final[list[tuple[dict[str, object], set[Phase]]]] = [
    ({"headers": {"x-a": "'1'"}}, {Phase.REQUEST}),
    ({"remove_headers": ["x-a"]}, {Phase.REQUEST}),
    ({"path": "'/a'", "headers": {"x-a": "'1'"}}, {Phase.FORWARD}),
    ({"query": {"remove": ["a"]}}, {Phase.FORWARD}),
    ({"json": {"remove": ["a"]}}, {Phase.REQUEST_BODY}),
    ({"headers": {"x-a": "request.json.a"}}, {Phase.REQUEST_BODY}),
    ({"text": [{"replace": "a"}]}, {Phase.REQUEST_BODY}),
]


@pytest.mark.parametrize(("edits", "phases"), PHASES)
def test_no_more_is_asked_for_than_the_edits_need(edits: dict[str, object], phases: set[Phase]) -> None:
    assert phases_of(Transform, settings(**edits)) == phases


SCHEMA: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
FITS: Final[dict[str, tuple[object, list[dict[str, str]]]]] = {
    "what fits": ({"name": "ada", "tags": ["x"]}, []),
    "a member that is missing": ({}, [{"at": "", "rule": "required"}]),
    "another type": ({"name": 7}, [{"at": "/name", "rule": "type"}]),
    "deep inside": ({"name": "ada", "tags": ["x", 7]}, [{"at": "/tags/1", "rule": "type"}]),
    "a member too many": ({"name": "ada", "s3cret": 1}, [{"at": "", "rule": "additionalProperties"}]),
}


@pytest.mark.parametrize("case", FITS)
async def test_a_body_must_fit_its_schema_and_a_refusal_quotes_no_value(tmp_path: Path, case: str) -> None:
    document, errors = FITS[case]
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    decision = await decided(post(json.dumps(document).encode()), schema=file)
    if not errors:
        assert isinstance(decision, Continue)
        return
    assert isinstance(decision, LocalReply)
    assert (decision.status, decision.reason) == (400, "invalid_body")
    assert json.loads(decision.body)["errors"] == errors
    assert b"s3cret" not in decision.body


@pytest.mark.parametrize("body", [None, b""])
async def test_a_body_that_is_described_must_be_there(tmp_path: Path, body: bytes | None) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    assert isinstance(await decided(post(body), schema=file), LocalReply)


OPENAPI: Final = """
openapi: 3.0.3
servers: [{url: https://shop.example/api}]
paths:
  /orders/{id}:
    put: {requestBody: {$ref: "#/components/requestBodies/Order"}}
    get: {}
  /orders/new:
    post: {requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}
components:
  requestBodies: {Order: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}
  schemas: {Order: {type: object, properties: {note: {type: string, nullable: true},
    n: {type: number, minimum: 0, exclusiveMinimum: true}}}}
"""
OPERATIONS: Final[dict[str, tuple[str, str, bytes | None, int]]] = {
    "what fits": ("PUT", "/api/orders/7", b'{"note":null,"n":1}', 200),
    "what does not": ("PUT", "/api/orders/7", b'{"note":1}', 400),
    "an excluded limit": ("POST", "/api/orders/new", b'{"n":0}', 400),
    "no body where one must be": ("PUT", "/api/orders/7", None, 400),
    "no body where none is described": ("GET", "/api/orders/7", None, 200),
    "another method": ("POST", "/api/orders/7", b"{}", 405),
    "a path without parameters first": ("PUT", "/api/orders/new", b"{}", 405),
    "another path": ("GET", "/orders/7", None, 404),
    "a path below": ("GET", "/api/orders/7/items", None, 404),
}


@pytest.mark.parametrize("case", OPERATIONS)
async def test_a_request_must_be_an_operation_that_is_described(tmp_path: Path, case: str) -> None:
    method, path, body, status = OPERATIONS[case]
    file = tmp_path / "openapi.yaml"
    file.write_text(OPENAPI)
    decision = await decided(Request(method, path, headers=Headers.of((JSON,)), body=body), openapi=file)
    assert (decision.status if isinstance(decision, LocalReply) else 200) == status


BROKEN: Final = {
    "a type that is none": '{"type": "objekt"}',
    "a reference elsewhere": '{"$ref": "https://example.com/schema.json"}',
    "a reference to nowhere": '{"$ref": "#/$defs/none"}',
    "no JSON": "{",
    "a list": "[]",
    "a pattern that looks around": '{"pattern": "(?=a)b"}',
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_schema_that_cannot_be_used_is_an_error_of_the_file(tmp_path: Path, case: str) -> None:
    file = tmp_path / "schema.json"
    file.write_text(BROKEN[case])
    with pytest.raises(ValueError, match=r"schema|Schema|read"):
        Transform.build(settings(schema=file), fake_ports())


@pytest.mark.parametrize(
    "edits",
    [
        {"json": {"set": {"a..b": "1"}}},
        {"json": {"set": {"a[x]": "1"}}},
        {"json": {"set": {"a": "response.json"}}},
        {"json": {"map": {"a": "request.json"}}},
        {"headers": {"host": "'a'"}},
        {"method": "consumer.claims.a"},
        {"text": [{"replace": ""}]},
    ],
)
def test_what_cannot_be_edited_so_is_an_error_of_the_file(edits: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**edits)
