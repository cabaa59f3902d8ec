"""Decisions validate on construction: an edit that Envoy must not make cannot exist further down."""

from __future__ import annotations

import json
from typing import Final

import pytest

from extproc.core.decision import MAX_REPLY_BODY, NO_EDITS, HeaderEdits, LocalReply, refusal
from extproc.core.errors import InvalidMutation

UNTOUCHABLE: Final = [
    "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive",
    "x-envoy-internal", "x-envoy-upstream-rq-timeout-ms", "x-extproc-cluster", "x-extproc-anything",
    "x-consumer-id", "x-consumer-tier", "x-consumer-whatever",
]  # fmt: skip
MISSPELT: Final = {
    ":path": "':path' is not a lower-case header name",
    ":authority": "':authority' is not a lower-case header name",
    "X-Upper": "'X-Upper' is not a lower-case header name",
    "a b": "'a b' is not a lower-case header name",
    "a\r\n": r"'a\r\n' is not a lower-case header name",
    "": "'' is not a lower-case header name",
}
SPLITTING: Final = ["a\r\nset-cookie: b", "a\n", "\r", "a\x00b", "\x1b[31m", "\x7f"]


@pytest.mark.parametrize("name", UNTOUCHABLE)
def test_a_policy_may_neither_set_nor_remove_nor_reply_with_these(name: str) -> None:
    sentence = f"a policy may not touch the header {name!r}"
    for build in (
        lambda: HeaderEdits(set=((name, "v"),)),
        lambda: HeaderEdits(remove=(name,)),
        lambda: LocalReply(403, "no", headers=((name, "v"),)),
    ):
        with pytest.raises(InvalidMutation) as refused:
            build()
        assert str(refused.value) == sentence


@pytest.mark.parametrize("name", MISSPELT)
def test_a_name_that_is_no_lower_case_token_is_refused(name: str) -> None:
    for build in (
        lambda: HeaderEdits(set=((name, "v"),)),
        lambda: HeaderEdits(remove=(name,)),
        lambda: LocalReply(403, "no", headers=((name, "v"),)),
    ):
        with pytest.raises(InvalidMutation) as refused:
            build()
        assert str(refused.value) == MISSPELT[name]


@pytest.mark.parametrize("value", SPLITTING)
def test_a_value_that_would_split_the_message_is_refused_and_not_quoted(value: str) -> None:
    for build in (lambda: HeaderEdits(set=(("x-a", value),)), lambda: LocalReply(403, "no", (("x-a", value),))):
        with pytest.raises(InvalidMutation) as refused:
            build()
        assert str(refused.value) == "the value for header 'x-a' has a control character"


def test_a_hundred_headers_may_be_set_and_no_more() -> None:
    fields = tuple((f"x-{number}", "") for number in range(101))
    assert len(HeaderEdits(set=fields[:100]).set) == 100
    assert len(LocalReply(403, "no", fields[:100]).headers) == 100
    with pytest.raises(InvalidMutation, match="101 headers to set, at most 100"):
        HeaderEdits(set=fields)
    with pytest.raises(InvalidMutation, match="101 headers to set, at most 100"):
        LocalReply(403, "no", fields)


def test_sixty_kibibytes_of_headers_may_be_set_and_no_more() -> None:
    most = "v" * (60 * 1024 - len("x-a"))
    assert HeaderEdits(set=(("x-a", most),))
    assert LocalReply(403, "no", (("x-a", most),)).headers
    with pytest.raises(InvalidMutation, match="more than 61440 bytes of headers to set"):
        HeaderEdits(set=(("x-a", most + "v"),))
    with pytest.raises(InvalidMutation, match="more than 61440 bytes of headers to set"):
        LocalReply(403, "no", (("x-a", most + "v"),))


@pytest.mark.parametrize("status", [0, 99, 299, 600, -1, 10**30])
def test_a_reply_has_a_status_that_http_knows(status: int) -> None:
    with pytest.raises(ValueError, match="is not a valid HTTPStatus"):
        LocalReply(status, "no")


@pytest.mark.parametrize("reason", ["", "Upper", "with space", "with-dash", "1st", "a\n", "é", "x" * 65])
def test_a_reason_is_a_short_code_in_snake_case(reason: str) -> None:
    with pytest.raises(InvalidMutation, match="is not a reason code: snake_case, at most 64 characters"):
        LocalReply(403, reason)


def test_a_reply_carries_a_bounded_body_which_no_repr_shows() -> None:
    assert "secret" not in repr(LocalReply(403, "no", body=b"secret" + b"x" * (MAX_REPLY_BODY - 6)))
    with pytest.raises(InvalidMutation, match="a local reply has at most 65536 bytes of body"):
        LocalReply(403, "no", body=b"x" * (MAX_REPLY_BODY + 1))


@pytest.mark.parametrize(("status", "refuses"), [(200, False), (302, False), (400, True), (429, True), (503, True)])
def test_a_reply_refuses_from_400_on(status: int, refuses: bool) -> None:
    assert LocalReply(status, "reason").refuses is refuses


# earlier, later, what both come to: (set, remove) each
THEN: Final = {
    "nothing and nothing": (((), ()), ((), ()), ((), ())),
    "only earlier": (((("a", "1"),), ("b",)), ((), ()), ((("a", "1"),), ("b",))),
    "only later": (((), ()), ((("a", "1"),), ("b",)), ((("a", "1"),), ("b",))),
    "different fields": (((("a", "1"),), ()), ((("b", "2"),), ()), ((("a", "1"), ("b", "2")), ())),
    "the later value": (((("a", "1"),), ()), ((("a", "2"),), ()), ((("a", "2"),), ())),
    "set, then removed": (((("a", "1"),), ()), ((), ("a",)), ((), ("a",))),
    "removed, then set": (((), ("a",)), ((("a", "2"),), ()), ((("a", "2"),), ())),
    "removed twice": (((), ("a", "b")), ((), ("b", "c")), ((), ("a", "b", "c"))),
}
Fields = tuple[tuple[str, str], ...]
Edits = tuple[Fields, tuple[str, ...]]


@pytest.mark.parametrize(
    ("set_", "remove"), [((("a", "1"), ("a", "2")), ()), ((("a", "1"),), ("a",)), ((), ("a", "a"))]
)
def test_one_field_is_not_edited_twice(set_: Fields, remove: tuple[str, ...]) -> None:
    with pytest.raises(InvalidMutation, match="edited twice"):
        HeaderEdits(set=set_, remove=remove)


def test_a_reply_sets_several_cookies_and_nothing_else_twice() -> None:
    cookies = (("set-cookie", "a=1"), ("cache-control", "no-store"), ("set-cookie", "b=2"))
    assert LocalReply(302, "moved", cookies).headers == cookies
    with pytest.raises(InvalidMutation, match="edited twice"):
        LocalReply(302, "moved", (*cookies, ("cache-control", "no-cache")))
    with pytest.raises(InvalidMutation, match="control character"):
        LocalReply(302, "moved", (*cookies, ("set-cookie", "c=3\r\nx: y")))
    with pytest.raises(InvalidMutation, match="101 headers to set"):
        LocalReply(302, "moved", (("set-cookie", "a=1"),) * 101)


@pytest.mark.parametrize("case", THEN)
def test_of_two_edits_the_later_wins_where_they_name_the_same_field(case: str) -> None:
    earlier, later, both = (HeaderEdits(*edits) for edits in THEN[case])
    assert earlier.then(later) == both


def test_edits_are_true_where_they_edit() -> None:
    assert not NO_EDITS
    assert HeaderEdits(remove=("a",))
    assert HeaderEdits(set=(("a", ""),))


def test_edits_that_are_too_many_only_together_are_refused() -> None:
    many = [HeaderEdits(set=tuple((f"x-{side}-{number}", "") for number in range(60))) for side in "ab"]
    with pytest.raises(InvalidMutation, match="120 headers to set"):
        many[0].then(many[1])


def test_a_refusal_is_a_problem_document_with_its_reason_and_no_more() -> None:
    reply = refusal(429, "rate_limited", "the limit tier is used up", headers={"retry-after": "7"}, limit="tier")
    assert dict(reply.headers) == {
        "content-type": "application/problem+json", "cache-control": "no-store", "retry-after": "7",
    }  # fmt: skip
    assert json.loads(reply.body) == {
        "type": "about:blank", "title": "Too Many Requests", "status": 429, "reason": "rate_limited",
        "detail": "the limit tier is used up", "limit": "tier",
    }  # fmt: skip
    assert reply.refuses
