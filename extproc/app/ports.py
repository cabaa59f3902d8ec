"""TCP ports that are ours alone."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from extproc.plan.model import Endpoint


def listen(address: Endpoint) -> socket.socket:
    """A listening socket that nobody else can share. Raises OSError with the address in its text."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # REUSEADDR frees a port that lingers in TIME_WAIT; REUSEPORT would share it with a forgotten process in silence.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{address} cannot be used: {error.strerror}") from None
    return listening


def busy(addresses: Iterable[Endpoint]) -> list[str]:
    """A sentence for each address that cannot be had now."""
    problems = []
    for address in addresses:
        try:
            listen(address).close()
        except OSError as error:
            problems.append(str(error.strerror))
    return problems
