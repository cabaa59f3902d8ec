"""The gRPC server of one worker, on one Unix socket that a group may share, or on an address."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SOCKET_UMASK: Final = 0o117  # 0660: grpcio's own default is 0755, on which another user's Envoy cannot connect
PROBE_TIMEOUT: Final = 0.5
SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class SocketInUse(Exception):
    """Another sidecar answers on that socket."""


class Server:
    """Starts not serving; Envoy's health check sends nothing until `serve` has been called."""

    def __init__(self, path: str, handlers: Sequence[grpc.GenericRpcHandler], names: Sequence[str] = ("",)) -> None:
        """`names` are the services that a health check may ask about; the empty one is all of them."""
        self._path = path
        self._names = names
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers(list(handlers))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def start(self) -> None:
        """Raises SocketInUse, or OSError where the socket cannot be made."""
        self._listen()
        await self.pause()
        await self._server.start()

    async def serve(self) -> None:
        await self._set(SERVING)

    async def pause(self) -> None:
        """Calls are answered, and whoever asks about our health is told to ask somebody else."""
        await self._set(NOT_SERVING)

    async def drain(self) -> None:
        """Not serving, for good."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Not serving at once; calls under way get `grace` seconds."""
        await self.drain()
        await self._server.stop(grace)
        self._leave()

    async def _set(self, status: object) -> None:
        for name in self._names:
            await self._health.set(name, status)

    def _listen(self) -> None:
        free_socket(self._path)
        previous = os.umask(SOCKET_UMASK)
        try:
            self._server.add_insecure_port(f"unix:{self._path}")
        except RuntimeError as error:
            raise OSError(f"the socket {self._path} cannot be made: {error}") from None
        finally:
            os.umask(previous)

    def _leave(self) -> None:
        # grpc unlinks the path as soon as it listens no more: what is there after the grace may be a successor's.
        if not is_live(self._path):
            _remove(self._path)


class AddressServer(Server):
    """The same on a TCP address, `HOST:PORT`."""

    def __init__(
        self,
        address: str,
        handlers: Sequence[grpc.GenericRpcHandler],
        names: Sequence[str] = ("",),
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """Without credentials there is no TLS."""
        super().__init__(address, handlers, names)
        self._credentials = credentials

    def _listen(self) -> None:
        try:
            if self._credentials is None:
                self._server.add_insecure_port(self._path)
            else:
                self._server.add_secure_port(self._path, self._credentials)
        except RuntimeError:
            raise OSError(f"{self._path} cannot be used: somebody else listens there, or it is not ours") from None

    def _leave(self) -> None:
        """A port needs no tidying."""


def is_live(path: str) -> bool:
    """Whether somebody listens on that socket: also one too busy to accept us, or who would not have us."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(path)
        except (BlockingIOError, PermissionError, TimeoutError):
            return True
        except OSError:
            return False
        return True


def free_socket(path: str) -> None:
    """Remove what a dead process left. grpcio would unlink a live socket without asking."""
    if is_live(path):
        raise SocketInUse(f"another sidecar serves {path}")
    _remove(path)


def listen_on_socket(path: str) -> socket.socket:
    """For a server that is no gRPC: with the same permissions. Raises SocketInUse, or OSError."""
    free_socket(path)
    listening = socket.socket(socket.AF_UNIX)
    previous = os.umask(SOCKET_UMASK)
    try:
        listening.bind(path)
    finally:
        os.umask(previous)
    return listening


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
