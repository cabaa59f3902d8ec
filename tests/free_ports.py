"""Ports for tests."""

from __future__ import annotations

from extproc.app.ports import listen
from extproc.plan.model import Endpoint


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with listen(Endpoint("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
