"""IP addresses as the gateway compares them: one client is one address, however it is written."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_address(text: str) -> Address:
    """Without a zone; an IPv4 address that is written as an IPv6 one (RFC 4291 §2.5.5.2) is the IPv4 address.

    Raises:
        ValueError: the text is not an IP address.
    """
    parsed = ipaddress.ip_address(text.split("%", 1)[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_among(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds it. Those of the other version never do."""
    return any(address in network for network in networks)
