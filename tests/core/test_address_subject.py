"""The network that an address limit counts."""

from __future__ import annotations

import pytest

from extproc.core.limits import address_subject

COUNTED = {
    "192.0.2.7": "192.0.2.7/32",
    "0.0.0.0": "0.0.0.0/32",
    "::ffff:192.0.2.7": "192.0.2.7/32",
    "::FFFF:c000:207": "192.0.2.7/32",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "2001:DB8:1:2::ffff": "2001:db8:1:2::/64",
    "2001:db8:1:3::1": "2001:db8:1:3::/64",
    "fe80::1%eth0": "fe80::/64",
    "fe80::2%wlan1": "fe80::/64",
    "::1": "::/64",
}


@pytest.mark.parametrize("address", COUNTED)
def test_an_ipv4_address_counts_alone_and_an_ipv6_address_with_its_whole_network(address: str) -> None:
    assert address_subject(address) == COUNTED[address]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "192.0.2.7:80",
        "192.0.2.0/24",
        "192.0.2",
        "192.0.2.256",
        "010.0.0.1",
        "[::1]",
        ":::",
        " ::1",
        "é",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        address_subject(address)
