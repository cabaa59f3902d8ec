"""What the upstream is told about the consumer, and how it is kept from being forged."""

from __future__ import annotations

import pytest

from extproc.core.errors import InvalidMutation
from extproc.core.headers import Headers
from extproc.core.identity import forged_headers, identity_headers, owned_headers, read_groups, spell_groups
from extproc.core.message import Consumer

TOLD = [
    (None, ()),
    (Consumer("acme"), (("x-consumer-id", "acme"),)),
    (Consumer("acme", ""), (("x-consumer-id", "acme"), ("x-consumer-tier", ""))),
    (Consumer("anonymous", "guest", anonymous=True), (("x-consumer-tier", "guest"),)),
    (Consumer("anonymous", anonymous=True), ()),
    (
        Consumer("acme", "free", ("orders:read", "orders:write"), {"secret": "claim"}, "company"),
        (("x-consumer-id", "acme"), ("x-consumer-tier", "free"), ("x-consumer-scopes", "orders:read orders:write")),
    ),
    (
        Consumer("acme", groups=("staff", "/eu/sales@shop")),
        (("x-consumer-id", "acme"), ("x-consumer-groups", "staff,/eu/sales@shop")),
    ),
    (Consumer("somebody", "guests", anonymous=True), (("x-consumer-tier", "guests"),)),
]


@pytest.mark.parametrize(("consumer", "fields"), TOLD)
def test_the_upstream_is_told_id_tier_and_scopes_and_no_claim(
    consumer: Consumer | None, fields: tuple[tuple[str, str], ...]
) -> None:
    assert identity_headers(consumer) == fields


@pytest.mark.parametrize(
    ("cluster", "shadow", "fields"),
    [
        ("", "", (("x-extproc-cluster", "upstream.one"),)),
        ("model.m/v1", "", (("x-extproc-cluster", "model.m/v1"),)),
        ("", "m", (("x-extproc-cluster", "upstream.one"), ("x-extproc-shadow", "m"))),
    ],
)
def test_envoy_is_told_where_a_request_goes_and_who_gets_a_copy(
    cluster: str, shadow: str, fields: tuple[tuple[str, str], ...]
) -> None:
    assert owned_headers(None, "one", cluster, shadow) == fields
    assert owned_headers(None, None, cluster, shadow) == ()


@pytest.mark.parametrize(
    ("consumer", "header"),
    [
        (Consumer("a\r\nx-consumer-tier: premium"), "x-consumer-id"),
        (Consumer("a", "free\n"), "x-consumer-tier"),
        (Consumer("a", "free", ("b\x00",)), "x-consumer-scopes"),
    ],
)
def test_an_identity_that_would_split_the_message_is_refused_and_not_quoted(consumer: Consumer, header: str) -> None:
    with pytest.raises(InvalidMutation) as refused:
        identity_headers(consumer)
    assert str(refused.value) == f"{header} would carry a control character"


GROUPS = [
    ((), ""),
    (("staff",), "staff"),
    (("staff", "eu"), "staff,eu"),
    (("staff,admin",), "staff%2Cadmin"),
    (("Domain Users", "100%"), "Domain%20Users,100%25"),
    (("a\r\nx-consumer-id: root",), "a%0D%0Ax-consumer-id:%20root"),
    (("größe",), "gr%C3%B6%C3%9Fe"),
]


@pytest.mark.parametrize(("groups", "text"), GROUPS)
def test_the_name_of_one_group_never_reads_as_two(groups: tuple[str, ...], text: str) -> None:
    assert spell_groups(groups) == text
    assert read_groups(text) == groups


def test_the_chosen_upstream_is_named_by_its_cluster() -> None:
    assert owned_headers(Consumer("acme"), "v1") == (
        ("x-consumer-id", "acme"),
        ("x-extproc-cluster", "upstream.v1"),
    )
    assert owned_headers(None, None) == ()


FORGED = Headers.of(
    [
        ("X-Consumer-Id", "root"), ("x-consumer-id", "root too"), ("x-consumer-tier", "premium"),
        ("x-extproc-cluster", "upstream.admin"), ("x-consumers", "not ours"), ("accept", "*/*"),
    ]
)  # fmt: skip


def test_our_headers_that_came_with_the_request_are_removed_once_each() -> None:
    assert forged_headers(FORGED, ()) == ("x-consumer-id", "x-consumer-tier", "x-extproc-cluster")


def test_a_header_that_we_set_ourselves_is_overwritten_and_so_not_removed() -> None:
    granted = owned_headers(Consumer("acme"), None)
    assert forged_headers(FORGED, granted) == ("x-consumer-tier", "x-extproc-cluster")


def test_an_id_that_came_with_an_anonymous_request_is_removed() -> None:
    granted = owned_headers(Consumer("anonymous", "guest", anonymous=True), None)
    assert forged_headers(FORGED, granted) == ("x-consumer-id", "x-extproc-cluster")
