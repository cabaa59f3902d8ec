"""Headers and members of a JSON answer set by expressions; what is not a JSON object passes untouched."""

from __future__ import annotations

import gzip
import json
from typing import Any, Final

import pytest
from pydantic import ValidationError

from extproc.core.decision import CONTINUE, Decision
from extproc.core.errors import CouldNotDecide, InvalidMutation
from extproc.core.headers import Headers
from extproc.core.message import Response
from extproc.core.policy import Phase, Policy, phases_of
from extproc.policies.transform import Transform, TransformSettings
from extproc.testing import fake_ports
from tests.policies.asking import CALLED, asking, passed

JSON: Final = "application/json"


def settings(headers: dict[str, str] | None = None, members: dict[str, str] | None = None) -> TransformSettings:
    return TransformSettings.model_validate({"response": {"headers": headers or {}, "json": {"set": members or {}}}})


def transform(headers: dict[str, str] | None = None, **members: str) -> Policy:
    return Transform.build(settings(headers, members), fake_ports())


async def answered(policy: Policy, body: bytes | None, content_type: str = JSON, **headers: str) -> Decision:
    fields = [("content-type", content_type), *((name.replace("_", "-"), value) for name, value in headers.items())]
    response = Response(200, Headers.of([field for field in fields if field[1]]), body)
    return await policy.on_response(response, asking(), CALLED)


async def edited(policy: Policy, document: object) -> Any:
    body = passed(await answered(policy, json.dumps(document).encode())).body
    assert body is not None
    return json.loads(body)


# members to set, the upstream's answer, what the client gets
EDITS: Final[dict[str, tuple[dict[str, str], object, object]]] = {
    "a new member": ({"a": "1"}, {"b": 2}, {"b": 2, "a": 1}),
    "a member replaced in its place": ({"a": "1"}, {"a": 0, "b": 2}, {"a": 1, "b": 2}),
    "a nested member": ({"meta.next": "2"}, {"meta": {"now": 1}}, {"meta": {"now": 1, "next": 2}}),
    "objects made on the way": ({"meta.page": "1"}, {}, {"meta": {"page": 1}}),
    "no object on the way": ({"meta.page": "1"}, {"meta": [1]}, {"meta": {"page": 1}}),
    "a value from the answer": ({"n": "size(response.json.items)"}, {"items": [1, 2]}, {"items": [1, 2], "n": 2}),
    "a value from the caller": ({"by": "consumer.id + '/' + route.name"}, {}, {"by": "acme/orders"}),
    "an object": ({"a": "{'x': [1, 2.5, true, null]}"}, {}, {"a": {"x": [1, 2.5, True, None]}}),
    "the status": ({"status": "response.status"}, {}, {"status": 200}),
    "two members swapped": ({"a": "response.json.b", "b": "response.json.a"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}),
    "the whole answer moved": ({"data": "response.json"}, {"a": 1}, {"a": 1, "data": {"a": 1}}),
    "large numbers kept": ({"a": "1"}, {"id": 2**64, "n": -(2**63)}, {"id": 2**64, "n": -(2**63), "a": 1}),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
async def test_members_are_set_to_what_expressions_say(case: str) -> None:
    members, document, expected = EDITS[case]
    result = await edited(Transform.build(settings(members=members), fake_ports()), document)
    assert result == expected
    assert list(result) == list(expected) if isinstance(expected, dict) else None


async def test_a_body_is_written_in_utf8_without_spaces() -> None:
    decision = passed(await answered(transform(a="'ü'"), '{"name": "é😀"}'.encode()))
    assert decision.body == '{"name":"é😀","a":"ü"}'.encode()


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/problem+json",
        "application/hal+json;v=1",
    ],
)
async def test_json_goes_by_several_names(content_type: str) -> None:
    assert passed(await answered(transform(a="1"), b"{}", content_type)).body == b'{"a":1}'


DEEP: Final = b"[" * 100_000 + b"]" * 100_000
UNTOUCHED: Final[dict[str, tuple[bytes | None, str, dict[str, str]]]] = {
    "text": (b"{}", "text/plain", {}),
    "html": (b"<p>", "text/html", {}),
    "no type": (b"{}", "", {}),
    "almost the type": (b"{}", "application/jsonp", {}),
    "an unknown coding": (b"{}", JSON, {"content_encoding": "compress"}),
    "two codings": (gzip.compress(gzip.compress(b"{}")), JSON, {"content_encoding": "gzip, gzip"}),
    "half a gzip": (gzip.compress(b"{}")[:-4], JSON, {"content_encoding": "gzip"}),
    "said to be brotli": (b"{}", JSON, {"content_encoding": "br"}),
    "no body": (None, JSON, {}),
    "an empty body": (b"", JSON, {}),
    "a list": (b"[1]", JSON, {}),
    "a text for a body": (b'"text"', JSON, {}),
    "null": (b"null", JSON, {}),
    "broken": (b'{"a":', JSON, {}),
    "a name twice": (b'{"a":1,"a":2}', JSON, {}),
    "not a number": (b'{"a":NaN}', JSON, {}),
    "a number that becomes infinite": (b'{"a":1e400}', JSON, {}),
    "five thousand digits": (b'{"a":' + b"1" * 5_000 + b"}", JSON, {}),
    "utf-16": ("{}".encode("utf-16"), JSON, {}),
    "a byte order mark": (b"\xef\xbb\xbf{}", JSON, {}),
    "latin-1": (b'{"a":"\xe9"}', JSON, {}),
    "a lone surrogate": (b'{"a":"\\ud800"}', JSON, {}),
    "lines of json": (b"{}\n{}\n", JSON, {}),
    "deep": (b'{"a":' + DEEP + b"}", JSON, {}),
}


@pytest.mark.parametrize("case", UNTOUCHED)
async def test_what_is_not_the_json_object_it_claims_to_be_passes_untouched(case: str) -> None:
    body, content_type, headers = UNTOUCHED[case]
    assert await answered(transform(x="1"), body, content_type, **headers) is CONTINUE


async def test_identity_is_no_encoding() -> None:
    assert passed(await answered(transform(a="1"), b"{}", content_encoding="identity")).body == b'{"a":1}'


async def test_headers_are_set_to_what_expressions_say() -> None:
    expressions = {
        "x-route": "route.name", "x-status": "response.status", "x-ok": "response.status < 300",
        "x-list": "consumer.scopes", "x-map": "{'b': 1, 'a': 2}", "x-from": "response.headers['server'] + '!'",
    }  # fmt: skip
    decision = passed(await answered(transform(expressions), None, server="demo"))
    assert dict(decision.response.set) == {
        "x-route": "orders", "x-status": "200", "x-ok": "true",
        "x-list": '["orders:read"]', "x-map": '{"a": 2, "b": 1}', "x-from": "demo!",
    }  # fmt: skip
    assert decision.body is None


async def test_headers_and_members_are_set_together_from_the_same_answer() -> None:
    policy = transform({"x-total": "size(response.json.items)"}, items="[]")
    decision = passed(await answered(policy, b'{"items":[1,2,3]}'))
    assert (decision.response.set, decision.body) == ((("x-total", "3"),), b'{"items":[]}')


async def test_headers_alone_are_set_whatever_the_body_is() -> None:
    assert passed(await answered(transform({"x-a": "'1'"}), b"<p>", "text/html")).response.set == (("x-a", "1"),)


async def test_an_expression_that_fails_decides_nothing() -> None:
    with pytest.raises(CouldNotDecide):
        await answered(transform(a="response.json.none"), b"{}")


async def test_a_value_that_would_split_the_answer_is_refused() -> None:
    with pytest.raises(InvalidMutation):
        await answered(transform({"x-a": "'a\\r\\nset-cookie: b'"}), None)


@pytest.mark.parametrize("name", ["host", "content-length", "x-envoy-a", "x-extproc-a", "x-consumer-id", "connection"])
def test_a_header_that_no_policy_may_set_is_found_when_the_file_is_read(name: str) -> None:
    with pytest.raises(ValidationError, match="may not touch"):
        settings({name: "'1'"})


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a b", "a." + "b" * 300])
def test_a_path_names_a_member_at_every_step(path: str) -> None:
    with pytest.raises(ValidationError):
        settings(members={path: "1"})


def test_it_sees_the_body_only_where_it_edits_one() -> None:
    assert phases_of(Transform, settings({"x-a": "'1'"})) == {Phase.RESPONSE}
    assert phases_of(Transform, settings({"x-a": "'1'"}, {"a": "1"})) == {Phase.RESPONSE_BODY}
