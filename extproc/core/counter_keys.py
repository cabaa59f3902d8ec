"""What a counter is called in a store: different parts never have one name, and a name is never long."""

from __future__ import annotations

import hashlib
from typing import Final

LONGEST: Final = 200  # bytes: a client may send a value of any length, and a store keeps every name


def counter_name(parts: tuple[str, ...]) -> bytes:
    """Each part with its length in front, so that no separator can be forged; beyond LONGEST, a digest of that."""
    name = b"".join([b"%d:%b" % (len(part), part) for part in [part.encode() for part in parts]])
    # A digest begins with what no length does.
    return name if len(name) <= LONGEST else b"#" + hashlib.sha256(name).hexdigest().encode()
