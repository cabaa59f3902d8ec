"""Two sidecars as processes on one Redis: one leads, the other follows, and leads when the first is killed."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.app.sidecars import TOKEN, Sidecar
from tests.e2e.harness import eventually
from tests.redis_groups import folder
from tests.redis_servers import RedisServer

GATEWAY: Final = """
listeners: [{{name: public, address: "127.0.0.1:8080"}}]
sidecar: {{address: "unix:{sockets}", admin: "127.0.0.1:{admin}", stores: {{counters: "{redis}"}}}}
upstreams: {{one: {{endpoints: ["127.0.0.1:9000"]}}, two: {{endpoints: ["127.0.0.1:9001"]}}}}
models:
  recommend:
    versions: {{v1: {{upstream: one, weight: 100}}, v2: {{upstream: two, weight: 0}}}}
    sticky: none
    ramp: {{steps: [5, 25, 50, 100], hold: 1s}}
routes: [{{name: recommend, match: {{path: /recommend}}, model: recommend, authenticate: none}}]
"""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer(folder()) as server:
        yield server


def sidecar(place: Path, name: str, redis: RedisServer) -> Sidecar:
    made = Sidecar(place / name)
    made.folder.mkdir()
    made.text = GATEWAY.format(sockets=made.folder, admin=made.admin, redis=redis.url)
    return made


def asked(one: Sidecar) -> dict[str, Any]:
    status, told = one.get("/rollouts/recommend", TOKEN)
    assert status == 200, told
    return dict(told)


def wish(one: Sidecar, action: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", one.admin, timeout=20)
    headers = {"authorization": f"Bearer {TOKEN}"}
    connection.request("POST", "/rollouts/recommend", json.dumps({"action": action}), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def assigned(one: Sidecar, version: str) -> float:
    """By the table that this process chooses by."""
    _, _, metrics = one.ask("/metrics", {})
    name = f'extproc_model_share{{model="recommend",version="{version}"}} '
    return float(next(line for line in metrics.decode().splitlines() if line.startswith(name)).removeprefix(name))


def leaders(*sidecars: Sidecar) -> list[bool]:
    return [bool(asked(one)["leading"]) for one in sidecars]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_of_two_leads_and_the_other_when_it_is_gone(number: int, tmp_path: Path, redis: RedisServer) -> None:
    with sidecar(tmp_path, "a", redis) as one, sidecar(tmp_path, "b", redis) as other:
        for each in (one, other):
            eventually(partial(_is_ready, each), "it is ready")
        eventually(lambda: sum(leaders(one, other)) == 1, "one of them leads")
        first, second = (one, other) if leaders(one, other)[0] else (other, one)
        wish(second, "start")
        eventually(lambda: assigned(first, "v2") == assigned(second, "v2") == 0.05, "both follow")
        first.process.send_signal(number)
        first.process.wait(10)
        eventually(lambda: leaders(second) == [True], "the other leads")
        eventually(lambda: asked(second)["status"] == "complete", "the ramp goes on to its end")
        assert assigned(second, "v2") == 1.0


def _is_ready(one: Sidecar) -> bool:
    return _listens(one) and one.ask("/readyz", {})[0] == 200


def _listens(one: Sidecar) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", one.admin)) == 0


def test_a_sidecar_serves_nobody_until_it_knows_what_is_in_force(tmp_path: Path, redis: RedisServer) -> None:
    redis.stop()
    with sidecar(tmp_path, "a", redis) as one:
        eventually(lambda: _listens(one) and one.ask("/readyz", {})[0] == 503, "it waits")
        assert "ready" not in [one.event()["event"] for _ in range(2)]
        redis.start()
        eventually(partial(_is_ready, one), "it serves")
        assert asked(one)["shares"] == {"v1": 100, "v2": 0}
