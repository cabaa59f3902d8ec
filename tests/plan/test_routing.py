"""The normal form of hosts and paths; that Envoy agrees is shown in tests/e2e/test_paths.py and test_hosts.py."""

from __future__ import annotations

import pytest

from extproc.plan.routing import is_odd, normal_host, normal_path


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example:8443", "shop.example"),
        ("shop.example.", "shop.example"),
        ("shop.example.:80", "shop.example"),
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("[::1]", "[::1]"),
        ("shop.example:", "shop.example:"),  # Envoy leaves it, so it is odd
    ],
)
def test_a_host_is_without_case_port_and_trailing_dot(host: str, normal: str) -> None:
    assert normal_host(host) == normal


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/../b", "/b"),
        ("/a/..;x=1/b", "/b"),
        ("/a/.;/b", "/a/b"),
        ("/a/..;", "/"),
        ("/a/%2e%2e;/b", "/a/..;/b"),
        ("/a;x=1/b", "/a;x=1/b"),
        ("/a/...;/b", "/a/...;/b"),
    ],
)
def test_parameters_of_dots_are_dropped_as_long_as_they_are_not_escaped(path: str, normal: str) -> None:
    assert normal_path(path) == normal


@pytest.mark.parametrize("path", ["/a/..;/b", "/..;", "/a/.;x/b", "/a/..%3b/b", "/a/..%3B"])
def test_dots_with_parameters_in_a_normal_path_are_odd(path: str) -> None:
    assert is_odd("shop.example", path)


@pytest.mark.parametrize("path", ["/", "/a", "/a;x=1", "/a/...;/b", "/a/b..;/c", "/;/a", "/a/..x;/b"])
def test_other_parameters_are_not(path: str) -> None:
    assert not is_odd("shop.example", path)


@pytest.mark.parametrize("host", ["", "a,b", "a b", "u@a", "a:", "a:x", "a..b", ".a", "a.", "[::1", "::1", "a/b", "é"])
def test_what_is_no_name_and_no_address_is_odd(host: str) -> None:
    assert is_odd(host, "/")


@pytest.mark.parametrize("host", ["a", "a.example", "a_b.example", "127.0.0.1", "[::1]", "[2001:db8::1]", "xn--e1a"])
def test_names_and_addresses_are_not(host: str) -> None:
    assert not is_odd(host, "/")
