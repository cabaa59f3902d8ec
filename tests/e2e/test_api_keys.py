"""API keys through the real Envoy: what is no key is nobody's (row 58), and a revoked one is refused (row 59)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.core.api_key import digest, key_id
from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, FREE_KEY, PREMIUM, PREMIUM_KEY
from tests.e2e.harness import FENCE, HEAD, Gateway, RunningGateway, SeparateGateway, eventually
from tests.e2e.upstreams import Upstream, started
from tests.redis_servers import RedisServer

pytestmark = pytest.mark.e2e

TOKEN: Final = "correct-horse"
WITHIN: Final = 1.0  # seconds, from when the command has ended
TRIES: Final = 3
ROUTES: Final = """
upstreams: {guarded: {endpoints: ["${GUARDED}"]}}
defaults: {authenticate: [company, partners], limits: []}
routes:
  - FENCE
  - {name: all, match: {path_prefix: /}, upstream: guarded}
""".replace("FENCE", FENCE)
ON_A_FILE: Final = HEAD + ROUTES
ON_REDIS: Final = HEAD.replace("file:keys.yaml", "${REDIS_URL}") + ROUTES
Revoke = Callable[[str], None]


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("guarded") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(ON_A_FILE, upstreams) as running:
        yield running


WRONG: Final = {
    "another key": PREMIUM_KEY[:-7] + "0" * 7,
    "a wrong checksum": FREE_KEY[:-1] + ("0" if FREE_KEY[-1] != "0" else "1"),
    "the prefix": "xpk_",
    "all but the checksum": FREE_KEY[:-6],
    "a key and more": FREE_KEY + "0",
    "capitals": FREE_KEY.upper(),
    "its digest": digest(FREE_KEY),
    "its id": key_id(digest(FREE_KEY)),
    "a Cyrillic letter that looks like x, in UTF-8": "\u0445".encode().decode("latin-1") + FREE_KEY[1:],
    "digits of another script, in UTF-8": FREE_KEY[:-1] + "\u0660".encode().decode("latin-1"),
    "bytes that are no UTF-8": "\xff" * len(FREE_KEY),
    "16 KB": FREE_KEY + "0" * 16_000,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_key_is_refused_in_the_same_words(
    gateway: RunningGateway, upstreams: list[Upstream], wrong: str
) -> None:
    upstreams[0].clear()
    answer = gateway.client.get("/x", ("x-api-key", WRONG[wrong]))
    assert (answer.status, answer.reason) == (401, "unknown_api_key")
    assert upstreams[0].received == []


def test_a_megabyte_for_a_key_does_not_get_past_envoy(gateway: RunningGateway, upstreams: list[Upstream]) -> None:
    upstreams[0].clear()
    answer = gateway.client.get("/x", ("x-api-key", FREE_KEY + "0" * 1_000_000))
    assert answer.status in (400, 431)
    assert upstreams[0].received == []
    assert gateway.client.get("/x", FREE).status == 200


def test_what_is_kept_holds_digests_only(gateway: RunningGateway) -> None:
    gateway.decision(gateway.client.get("/x", FREE).id)
    kept = "".join(path.read_text("utf-8", "replace") for path in gateway.folder.rglob("*") if path.is_file())
    assert digest(FREE_KEY) in kept
    assert FREE_KEY not in kept
    assert PREMIUM_KEY not in kept


def command(gateway: Gateway, *words: str, **environment: str) -> Any:
    ended = subprocess.run(
        [sys.executable, "-m", "extproc", "keys", *words, "-o", "json"], cwd=gateway.folder, capture_output=True,
        env={**gateway.environment, "SIDECAR_SOCKETS": str(gateway.folder), **environment}, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


@contextmanager
def by_command_on_the_file(upstreams: list[Upstream], folder: Path) -> Iterator[tuple[Gateway, Revoke]]:
    with RunningGateway(ON_A_FILE, upstreams) as gateway:
        yield gateway, lambda key: command(gateway, "revoke", key)


@contextmanager
def by_the_admin_address(upstreams: list[Upstream], folder: Path) -> Iterator[tuple[Gateway, Revoke]]:
    with served(ON_A_FILE, upstreams, {"EXTPROC_ADMIN_TOKEN": TOKEN}) as gateway:

        def revoke(key: str) -> None:
            address = f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/keys/{key}"
            asked = urllib.request.Request(address, method="DELETE", headers={"authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - an admin address of our own
                assert answer.status == 200

        yield gateway, revoke


@contextmanager
def by_command_on_redis(upstreams: list[Upstream], folder: Path) -> Iterator[tuple[Gateway, Revoke]]:
    with RedisServer(folder) as server, served(ON_REDIS, upstreams, {"REDIS_URL": server.url}) as gateway:
        yield gateway, lambda key: command(gateway, "revoke", key)


@contextmanager
def served(text: str, upstreams: list[Upstream], environment: dict[str, str]) -> Iterator[SeparateGateway]:
    with SeparateGateway(text, upstreams) as gateway:
        gateway.environment.update(environment)
        gateway.start_sidecar()
        gateway.start_envoy()
        gateway.wait_for_sidecar()
        yield gateway


WAYS: Final = (by_command_on_the_file, by_the_admin_address, by_command_on_redis)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_revoked_key_is_refused_within_a_second_and_others_go_on(
    way: Callable[..., Any], upstreams: list[Upstream], tmp_path: Path
) -> None:
    with way(upstreams, tmp_path) as (gateway, revoke):
        stays = ("x-api-key", command(gateway, "create", "--consumer", "stays")["key"])
        # A machine that others use as well may be late once, and a gateway that is late every time.
        assert any(is_refused_in_time(gateway, revoke, upstreams[0], stays) for _ in range(TRIES))


def is_refused_in_time(gateway: Gateway, revoke: Revoke, upstream: Upstream, stays: Field) -> bool:
    """A new key that is revoked is refused sooner or later; here it is said whether within a second."""
    leaves = ("x-api-key", command(gateway, "create", "--consumer", "leaves")["key"])
    for field in (leaves, stays):
        eventually(partial(answers, gateway, field, 200), "a new key is good")
    revoke(key_id(digest(leaves[1])))
    ended = time.monotonic()

    def refused() -> bool:
        assert answers(gateway, stays, 200), "the other key goes on"
        return answers(gateway, leaves, 401)

    eventually(refused, "the revoked key is refused")
    took = time.monotonic() - ended
    upstream.clear()
    answer = gateway.client.get("/x", leaves)
    assert (answer.status, answer.reason) == (401, "unknown_api_key")
    assert upstream.received == []
    assert leaves[1] not in str(gateway.decisions())
    return took < WITHIN


def answers(gateway: Gateway, field: Field, status: int) -> bool:
    return gateway.client.get("/x", field).status == status


def test_a_bad_key_file_leaves_the_keys_as_they_were_until_it_is_good(upstreams: list[Upstream]) -> None:
    with RunningGateway(ON_A_FILE, upstreams) as gateway:
        file = gateway.folder / "keys.yaml"
        good = file.read_text()
        file.write_text(good[: len(good) // 2] + "{")
        eventually(lambda: _events(gateway, "keys_unreadable"), "the bad file is told")
        assert gateway.client.get("/x", FREE).status == gateway.client.get("/x", PREMIUM).status == 200
        file.write_text("keys: []\n")
        eventually(lambda: gateway.client.get("/x", FREE).status == 401, "the good file is in force")
        assert len(_events(gateway, "keys_unreadable")) == 1


def test_a_redis_that_is_away_is_503_and_no_denial_and_comes_back_by_itself(
    upstreams: list[Upstream], tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as server, served(ON_REDIS, upstreams, {"REDIS_URL": server.url}) as gateway:
        field = ("x-api-key", command(gateway, "create", "--consumer", "acme")["key"])
        eventually(lambda: gateway.client.get("/x", field).status == 200, "the key is good")
        server.stop()
        away = eventually(lambda: _unless_200(gateway, field), "Redis is missed")
        assert (away.status, away.reason) == (503, "store_unavailable")
        server.start()
        # An empty Redis: the key is gone with it, and that is a denial again.
        eventually(lambda: gateway.client.get("/x", field).status == 401, "Redis is found again")


def _unless_200(gateway: Gateway, field: tuple[str, str]) -> Any:
    answer = gateway.client.get("/x", field)
    return None if answer.status == 200 else answer


def _events(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    lines = (gateway.work / "decisions.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line)).get("event") == name]
