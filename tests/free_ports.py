"""Ports for tests."""

from __future__ import annotations

import contextlib
import random
from typing import Final

from extproc.app.ports import listen
from extproc.plan.model import Endpoint

# Below those that the kernel hands out to connections (net.ipv4.ip_local_port_range): between looking and listening,
# one of those may be taken by any client on the machine.
RANGE: Final = range(10_000, 32_768)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Ports that nobody has: all are held at once, so that they differ."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            port = random.choice(RANGE)  # noqa: S311 - no secret
            with contextlib.suppress(OSError):
                held.enter_context(listen(Endpoint("127.0.0.1", port)))
                ports.append(port)
    return ports
