"""`extproc keys`, as an operator runs it: on a file, on a Redis, and on a running sidecar."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.core.api_key import digest, is_well_formed, key_id
from tests.app.sidecars import TOKEN, Sidecar
from tests.cli.commands import GOOD, Ended, extproc, written
from tests.redis_servers import PASSWORD, RedisServer

FILE: Final = GOOD + "sidecar: {stores: {keys: file:keys.yaml}}\n"
REDIS: Final = GOOD + 'sidecar: {stores: {keys: "${REDIS_URL}"}}\n'
SERVED: Final = """\
listeners: [{{name: public, address: "127.0.0.1:8080"}}]
sidecar: {{address: "unix:{folder}", admin: "127.0.0.1:{admin}", stores: {{keys: file:keys.yaml}}}}
upstreams: {{only: {{endpoints: ["127.0.0.1:9000"]}}}}
authentication: {{partners: {{api_key: {{}}}}}}
routes: [{{name: all, match: {{path_prefix: /}}, upstream: only, authenticate: partners}}]
"""
Keys = Callable[..., Ended]


@contextmanager
def on_a_file(folder: Path) -> Iterator[Keys]:
    written(folder, FILE)
    yield lambda *words: extproc("keys", *words, folder=folder)


@contextmanager
def on_a_redis(folder: Path) -> Iterator[Keys]:
    written(folder, REDIS)
    with RedisServer(folder, password=PASSWORD) as server:
        yield lambda *words: extproc("keys", *words, folder=folder, environment={"REDIS_URL": server.url})


@contextmanager
def on_a_sidecar(folder: Path) -> Iterator[Keys]:
    written(folder, "keys: []\n", "keys.yaml")
    with served(folder) as sidecar:
        place = {"EXTPROC_ADMIN": f"http://127.0.0.1:{sidecar.admin}", "EXTPROC_ADMIN_TOKEN": TOKEN}
        yield lambda *words: extproc("keys", *words, folder=folder, environment=place)


@contextmanager
def served(folder: Path) -> Iterator[Sidecar]:
    sidecar = Sidecar(folder)
    sidecar.text = SERVED.format(folder=folder, admin=sidecar.admin)
    with sidecar:
        sidecar.until_ready()
        yield sidecar


PLACES: Final[Mapping[str, Callable[[Path], AbstractContextManager[Keys]]]] = {
    "file": on_a_file,
    "redis": on_a_redis,
    "sidecar": on_a_sidecar,
}


@pytest.fixture(params=PLACES)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keys]:
    with PLACES[request.param](tmp_path) as run:
        yield run


def made(ended: Ended) -> dict[str, Any]:
    assert (ended.code, ended.errors) == (0, "")
    document: dict[str, Any] = json.loads(ended.output)
    return document


def listed(keys: Keys) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in made(keys("list", "--output", "json"))["keys"]}


def test_a_key_is_made_listed_replaced_and_ended(keys: Keys) -> None:
    assert listed(keys) == {}
    options = ("--tier", "free", "--scopes", "a,b", "--scopes", "c", "--groups", "g", "--expires", "90d")
    first = made(keys("create", "--consumer", "acme", *options, "-o", "json"))
    assert is_well_formed(first["key"])
    assert first["id"] == key_id(digest(first["key"]))
    assert (first["consumer"], first["tier"], first["scopes"], first["groups"]) == (
        "acme",
        "free",
        ["a", "b", "c"],
        ["g"],
    )
    second = made(keys("rotate", first["id"], "--overlap", "1h", "-o", "json"))
    assert second["replaces"]["id"] == first["id"]
    assert second["key"] != first["key"]
    known = listed(keys)
    assert set(known) == {first["id"], second["id"]}
    assert known[first["id"]]["replaced_by"] == second["id"]
    assert known[first["id"]]["expires"] < known[second["id"]]["expires"]
    assert all(key not in str(known) for key in (first["key"], second["key"], digest(first["key"])))
    revoked = keys("revoke", first["id"])
    assert (revoked.code, revoked.output, revoked.errors) == (0, f"{first['id']} of acme is revoked\n", "")
    assert set(listed(keys)) == {second["id"]}


def test_the_key_stands_alone_on_standard_output(keys: Keys) -> None:
    ended = keys("create", "--consumer", "acme")
    assert ended.code == 0
    key = ended.output.removesuffix("\n")
    assert is_well_formed(key)
    assert key not in ended.errors
    identity = key_id(digest(key))
    assert ended.said == [f"{identity} of acme, without an end; the key is shown this once"]
    table = keys("list").output
    row = next(line for line in table.splitlines() if identity in line)
    assert row.split()[:3] == [identity, "acme", "-"]
    assert row.split()[-1] == "never"
    assert key not in table
    rotated = keys("rotate", identity)
    assert is_well_formed(rotated.output.removesuffix("\n"))
    assert rotated.said[1].startswith(f"{identity} goes on until ")


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_key_that_is_not_there_is_3_and_a_sentence(keys: Keys, command: str) -> None:
    ended = keys(command, "key_0123456789ab")
    assert (ended.code, ended.output) == (3, "")
    assert ended.errors.endswith("there is no key key_0123456789ab\n")
    assert len(ended.said) == 1


def test_a_key_that_is_replaced_already_is_3_and_names_the_other(keys: Keys) -> None:
    first = made(keys("create", "--consumer", "acme", "-o", "json"))
    second = made(keys("rotate", first["id"], "-o", "json"))
    ended = keys("rotate", first["id"])
    assert (ended.code, ended.output) == (3, "")
    assert ended.errors.endswith(f"the key {first['id']} is replaced already: rotate {second['id']}\n")


def test_the_first_key_makes_its_file_with_digests_only(tmp_path: Path) -> None:
    written(tmp_path, FILE)
    key = extproc("keys", "create", "--consumer", "acme", folder=tmp_path).output.strip()
    file = tmp_path / "keys.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()
    assert digest(key) in file.read_text()
    assert extproc("check", "gateway.yaml", folder=tmp_path).code == 0


def test_another_gateway_file_or_store_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    written(tmp_path / "shop", FILE, "other.yaml")
    for options in (["--file", "shop/other.yaml"], ["--store", "file:shop/keys.yaml"]):
        assert extproc("keys", "create", "--consumer", "acme", *options, folder=tmp_path).code == 0
    for options in (["--file", "shop/other.yaml"], ["--store", "file:shop/keys.yaml"]):
        assert len(made(extproc("keys", "list", "-o", "json", *options, folder=tmp_path))["keys"]) == 2


def test_an_option_is_stronger_than_the_environment(tmp_path: Path) -> None:
    place = {"EXTPROC_ADMIN": "http://127.0.0.1:1", "EXTPROC_ADMIN_TOKEN": TOKEN}
    ended = extproc("keys", "list", "--store", "file:keys.yaml", folder=tmp_path, environment=place)
    assert ended.code == 0


def test_a_file_that_names_no_store_says_what_to_write(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("keys", "list", folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == [
        "extproc: gateway.yaml names no store of keys: write sidecar: {stores: {keys: file:keys.yaml}}"
    ]


def test_a_gateway_file_with_problems_is_1_with_its_problems(tmp_path: Path) -> None:
    assert extproc("keys", "list", folder=tmp_path).code == 1
    written(tmp_path, FILE.replace("rate: 10/s", "rate: 0/s"))
    ended = extproc("keys", "list", "-o", "json", folder=tmp_path)
    assert (ended.code, json.loads(ended.output)["ok"]) == (1, False)


def test_a_store_that_cannot_be_used_is_3_and_a_sentence(tmp_path: Path) -> None:
    written(tmp_path, "keys: [", "keys.yaml")
    broken = extproc("keys", "create", "--consumer", "a", "--store", "file:keys.yaml", folder=tmp_path)
    assert (broken.code, broken.output) == (3, "")
    assert broken.said == [f"extproc: {tmp_path}/keys.yaml: not a YAML file of keys"]
    away = extproc("keys", "list", "--store", f"unix://{tmp_path}/none.sock", folder=tmp_path)
    assert (away.code, away.said) == (3, ["extproc: keys: Redis does not answer (ConnectionError)"])


def test_a_password_in_an_argument_is_refused_and_not_repeated(tmp_path: Path) -> None:
    ended = extproc("keys", "list", "--store", "redis://:hunter2@127.0.0.1", folder=tmp_path)
    assert ended.code == 2
    assert "hunter2" not in ended.errors + ended.output


def test_a_sidecar_that_refuses_or_is_not_there_is_3_and_a_sentence(tmp_path: Path) -> None:
    written(tmp_path, "keys: []\n", "keys.yaml")
    with served(tmp_path) as sidecar:
        at = f"http://127.0.0.1:{sidecar.admin}"
        tokenless = extproc("keys", "list", "--admin", at, folder=tmp_path)
        wrong = extproc("keys", "list", "--admin", at, "--token", "wrong", folder=tmp_path)
        right = extproc("keys", "list", "--admin", at, "--token", TOKEN, folder=tmp_path)
    assert (tokenless.code, wrong.code, right.code) == (3, 3, 0)
    assert tokenless.said == ["extproc: no admin token: set EXTPROC_ADMIN_TOKEN to the one that the sidecar has"]
    assert wrong.said == [f"extproc: the sidecar at {at} answers 401: this is for the bearer of the admin token"]
    gone = extproc("keys", "list", "--admin", at, "--token", TOKEN, folder=tmp_path)
    assert (gone.code, gone.said) == (3, [f"extproc: no sidecar answers at {at}: Connection refused"])


def test_a_change_over_the_admin_address_is_in_the_log_with_who_and_what_and_no_key(tmp_path: Path) -> None:
    written(tmp_path, "keys: []\n", "keys.yaml")
    with served(tmp_path) as sidecar:
        place = {"EXTPROC_ADMIN": f"127.0.0.1:{sidecar.admin}", "EXTPROC_ADMIN_TOKEN": TOKEN}
        first = made(extproc("keys", "create", "--consumer", "acme", "-o", "json", folder=tmp_path, environment=place))
        told = [sidecar.event(), sidecar.event()]
        sidecar.end()
    by_name = {event["event"]: event for event in told}
    assert by_name["keys_read"]["keys"] == 1
    changed = by_name["keys_changed"]
    assert (changed["who"], changed["what"], changed["id"]) == ("admin", "created", first["id"])
    assert changed["consumer"] == "acme"
    assert first["key"] not in str(told)
