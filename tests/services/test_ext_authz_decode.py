"""A CheckRequest as policies see it: whatever form Envoy chose, and whatever bytes a client sent."""

from __future__ import annotations

import pytest

from extproc.core import api_key
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.names import CALL_ADDRESS
from extproc.policies.api_key import ApiKey
from extproc.services.ext_authz import decode
from extproc.testing import FakeKeys
from extproc.wire.auth_pb2 import AttributeContext, CheckRequest
from extproc.wire.base_pb2 import HeaderMap, HeaderValue
from tests.services.conftest import Serve
from tests.services.fakes import Answers
from tests.services.harness import chain, check_request, gateway, raw

KEY = api_key.spell(b"0123456789abcdefghij")
METHOD = ApiKey("partners", "x-api-key", FakeKeys({KEY: Consumer("alice")}))


def test_the_request_is_what_envoy_matched() -> None:
    assert decode(check_request()) == Request(
        method="GET",
        path="/orders/7",
        host="shop.example",
        scheme="https",
        headers=Headers((("x-request-id", "id-1"),)),
        address="192.0.2.7",
        id="id-1",
        stream="stream-1",
    )


def test_a_host_has_no_case() -> None:
    asked = check_request()
    asked.attributes.request.http.host = "Shop.EXAMPLE"
    assert decode(asked).host == "shop.example"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/a?x=1", ("/a", "x=1")),
        ("/a?", ("/a", "")),
        ("/a?x=1?y=2&z=%3F", ("/a", "x=1?y=2&z=%3F")),
        ("?x", ("", "x")),
        ("*", ("*", "")),
        ("/a%3Fb", ("/a%3Fb", "")),
    ],
)
def test_the_query_is_what_follows_the_first_question_mark(path: str, seen: tuple[str, str]) -> None:
    request = decode(check_request(path=path))
    assert (request.path, request.query) == seen


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b"plain", "plain"),
        (b"caf\xc3\xa9", "caf\xc3\xa9"),
        (b"\xff\xfe\x80", "\xff\xfe\x80"),
        (b"a, b,,c ", "a, b,,c "),
        (b"\tx\t", "\tx\t"),
        (b"", ""),
    ],
)
def test_every_byte_of_a_header_is_kept(value: bytes, seen: str) -> None:
    assert decode(check_request(("x-any", value))).headers.all("x-any") == (seen,)


def test_repeated_fields_stay_apart_and_in_order() -> None:
    headers = decode(check_request(("X-Any", b"1"), ("x-other", b""), ("x-any", b"2"))).headers
    assert headers.all("x-any") == ("1", "2")
    assert headers.get("x-any") == "1,2"


def test_pseudo_headers_are_no_fields() -> None:
    names = {name for name, _ in decode(check_request((":authority", b"evil"), ("host", b"shop"))).headers}
    assert names == {"x-request-id", "host"}


def test_the_plain_form_of_a_foreign_envoy_reads_the_same() -> None:
    plain = {":path": "/x", "X-Request-Id": "id-2", "x-any": "caf\u00e9"}
    request = decode(check_request(plain=plain))
    assert sorted(request.headers) == [("x-any", "caf\xc3\xa9"), ("x-request-id", "id-2")]
    assert request.id == "id-2"


def test_an_older_envoy_fills_value_instead_of_raw_value() -> None:
    fields = HeaderMap(headers=[HeaderValue(key="x-any", value="caf\u00e9")])
    http = AttributeContext.HttpRequest(header_map=fields)
    call = CheckRequest(attributes=AttributeContext(request=AttributeContext.Request(http=http)))
    assert decode(call).headers == decode(check_with(raw([("x-any", "caf\u00e9".encode())]))).headers


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ("", ""),
        ("-----BEGIN%20CERTIFICATE-----%0AMII%2Bx%2Fy%3D%0A", "-----BEGIN CERTIFICATE-----\nMII+x/y=\n"),
        ("%FF%", "\ufffd%"),
    ],
)
def test_the_clients_certificate_comes_url_encoded(shown: str, seen: str) -> None:
    call = check_request()
    call.attributes.source.certificate = shown
    call.attributes.source.principal = "spiffe://x/y"
    assert decode(call).certificate == seen


def check_with(fields: HeaderMap) -> CheckRequest:
    http = AttributeContext.HttpRequest(header_map=fields)
    return CheckRequest(attributes=AttributeContext(request=AttributeContext.Request(http=http)))


def test_an_empty_call_is_a_request_about_which_nothing_is_known() -> None:
    assert decode(CheckRequest()) == Request("", "", scheme="")


@pytest.mark.parametrize(
    "fields",
    [
        [("x-api-key", KEY.encode()), ("x-api-key", KEY.encode())],
        [("x-api-key", f"{KEY},other".encode())],
        [("x-api-key", f"other, {KEY}".encode())],
        [("x-api-key", KEY.encode() + b"\xff")],
        [("x-api-key", b" " + KEY.encode())],
        [("x-api-key", b"")],
    ],
)
async def test_a_credential_that_came_twice_or_spoilt_is_refused(serve: Serve, fields: list[tuple[str, bytes]]) -> None:
    rig = await serve(gateway(chain(methods=[METHOD])))
    answer = await rig.check(check_request(*fields))
    assert answer.status.code != 0
    assert answer.denied_response.status.code == 401


@pytest.mark.parametrize("value", [f"{KEY},{KEY}", f"{KEY}, other", ","])
async def test_credentials_that_envoy_joined_with_a_comma_are_refused(serve: Serve, value: str) -> None:
    rig = await serve(gateway(chain(methods=[METHOD])))
    answer = await rig.check(check_request(plain={"x-api-key": value}))
    assert answer.denied_response.status.code == 401


@pytest.mark.parametrize(("told", "address"), [(True, "2001:db8::7"), (False, "192.0.2.7")])
async def test_behind_proxies_the_address_is_the_one_that_envoy_trusts(
    serve: Serve, *, told: bool, address: str
) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(policy)))
    await rig.check(check_request(told=told), metadata=[(CALL_ADDRESS, "2001:db8::7")])
    assert policy.requests[0].address == rig.records[0].address == address


async def test_policies_see_over_the_wire_what_decoding_gives(serve: Serve) -> None:
    policy = Answers()
    rig = await serve(gateway(chain(policy)))
    call = check_request(("x-any", b"\x80\xff"), path="/a?b=c")
    await rig.check(call)
    assert policy.requests == [decode(call)]
