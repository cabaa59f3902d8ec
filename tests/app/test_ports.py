"""TCP ports are ours alone or not at all."""

from __future__ import annotations

import contextlib
import errno
import gc
import socket
from collections.abc import Iterator

import pytest

from extproc.app.ports import busy, listen
from extproc.plan.model import Endpoint
from tests.free_ports import free_port

HOST = "127.0.0.1"


@contextlib.contextmanager
def somebody(*options: int, host: str = HOST) -> Iterator[Endpoint]:
    """Another process's listener, for all that the kernel knows."""
    with socket.socket() as held:
        for option in options:
            held.setsockopt(socket.SOL_SOCKET, option, 1)
        held.bind((host, 0))
        held.listen()
        yield Endpoint(HOST, held.getsockname()[1])


def bound_to(listening: socket.socket) -> Endpoint:
    return Endpoint(HOST, listening.getsockname()[1])


def test_a_port_that_nobody_has_is_listened_on() -> None:
    with listen(Endpoint(HOST, 0)) as listening, socket.create_connection(listening.getsockname()) as client:
        accepted, address = listening.accept()
        with accepted:
            assert address == client.getsockname()


@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,)])
def test_a_port_that_somebody_listens_on_is_refused_however_he_would_share_it(options: tuple[int, ...]) -> None:
    with somebody(*options) as taken, pytest.raises(OSError, match=f"^.*{taken} cannot be used") as refused:
        listen(taken)
    assert refused.value.errno == errno.EADDRINUSE


def test_a_port_of_every_address_is_refused_on_one_of_them() -> None:
    with somebody(socket.SO_REUSEPORT, host="0.0.0.0") as taken:
        assert busy([taken]) == [f"{taken} cannot be used: Address already in use"]


def test_our_port_is_never_shared_with_whoever_comes_later() -> None:
    with listen(Endpoint(HOST, 0)) as ours, socket.socket() as other:
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="Address already in use"):
            other.bind(ours.getsockname())


def test_each_address_that_cannot_be_had_is_a_sentence() -> None:
    with somebody() as one, somebody() as two:
        free = Endpoint(HOST, free_port())
        assert busy([one, free, two]) == [
            f"{one} cannot be used: Address already in use",
            f"{two} cannot be used: Address already in use",
        ]


def test_an_address_of_another_machine_is_a_sentence() -> None:
    assert busy([Endpoint("192.0.2.1", 8080)]) == ["192.0.2.1:8080 cannot be used: Cannot assign requested address"]


def test_a_host_that_nobody_knows_is_a_sentence() -> None:
    (sentence,) = busy([Endpoint("no such host", 8080)])
    assert sentence.startswith("no such host:8080 cannot be used: ")


def test_asking_for_a_port_does_not_keep_it() -> None:
    with listen(Endpoint(HOST, 0)) as listening:
        address = bound_to(listening)
    assert busy([address, address]) == []
    listen(address).close()


def test_a_refusal_leaves_no_socket_open() -> None:
    with somebody() as taken:
        assert busy([taken])
        gc.collect()  # an open one would be a ResourceWarning, which is an error here


def test_an_ipv6_address_is_written_in_brackets() -> None:
    with listen(Endpoint("::1", 0)) as listening:
        taken = Endpoint("::1", listening.getsockname()[1])
        assert busy([taken]) == [f"[::1]:{taken.port} cannot be used: Address already in use"]


def test_a_free_port_can_be_had() -> None:
    assert busy([Endpoint(HOST, free_port())]) == []
