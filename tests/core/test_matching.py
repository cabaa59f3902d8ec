"""Whether two matches share a request, as Envoy matches."""

from __future__ import annotations

import pytest

from extproc.core.matching import below, covers, hosts_meet, methods_meet, paths_meet

HOSTS = [
    ((), (), True),
    ((), ("a.test",), True),
    (("a.test",), ("a.test",), True),
    (("a.test",), ("b.test",), False),
    (("a.test", "b.test"), ("b.test",), True),
    (("*.test",), ("a.test",), True),
    (("*.test",), ("a.b.test",), True),
    (("*.test",), ("test",), False),
    (("*.test",), ("*.b.test",), True),
    (("*.a.test",), ("*.b.test",), False),
    (("*.a.test",), ("ba.test",), False),
]


@pytest.mark.parametrize(("one", "other", "meet"), HOSTS)
def test_hosts_meet_where_one_covers_the_other(one: tuple[str, ...], other: tuple[str, ...], meet: bool) -> None:
    assert hosts_meet(one, other) is hosts_meet(other, one) is meet


PATHS = [
    (("/a", False), ("/a", False), True),
    (("/a", False), ("/b", False), False),
    (("/a", False), ("/a/", False), False),
    (("/a", True), ("/a", False), True),
    (("/a", True), ("/a/b", False), True),
    (("/a", True), ("/ab", False), False),
    (("/a/", True), ("/a", False), False),
    (("/a/", True), ("/a", True), True),
    (("/", True), ("/a/b", True), True),
    (("/a/b", True), ("/a", True), True),
    (("/a", True), ("/b", True), False),
    (("/a", True), ("/ab", True), False),
]


@pytest.mark.parametrize(("one", "other", "meet"), PATHS)
def test_paths_meet_where_some_path_is_meant_by_both(
    one: tuple[str, bool], other: tuple[str, bool], meet: bool
) -> None:
    assert paths_meet(*one, *other) is paths_meet(*other, *one) is meet


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ((), (), True),
        ((), ("GET",), True),
        (("GET",), ("POST",), False),
        (("GET", "PUT"), ("PUT",), True),
    ],
)
def test_methods_meet_where_they_share_one(one: tuple[str, ...], other: tuple[str, ...], meet: bool) -> None:
    assert methods_meet(one, other) is methods_meet(other, one) is meet


def test_a_prefix_ends_at_a_slash_and_a_wildcard_at_a_dot() -> None:
    assert [below("/a", path) for path in ("/a", "/a/", "/ab", "/")] == [True, True, False, False]
    assert [covers("*.a", host) for host in ("b.a", "a", "ba")] == [True, False, False]
