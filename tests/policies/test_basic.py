"""Names and passwords: read in one way, hashed off the loop, at a bounded cost, and the same cost for unknown names."""

from __future__ import annotations

import asyncio
import base64
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from argon2.low_level import Type, hash_secret
from pydantic import ValidationError

from extproc.core.errors import StoreUnavailable
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.policies import basic
from extproc.policies.basic import Basic, BasicKind, BasicSettings, hash_password
from extproc.testing import FakeClock, fake_ports
from tests.policies.asking import asking, refused
from tests.turning import until

WRONG: Final = (401, "wrong_password")
CHEAPEST: Final = 7 * 1024  # KiB in one pass: the least that a file may have


def hashed(password: str, memory: int = CHEAPEST, passes: int = 1, lanes: int = 1) -> str:
    return hash_secret(password.encode(), b"a salt of bytes!", passes, memory, lanes, 32, Type.ID).decode()


HUNTER2: Final = hashed("hunter2")
USERS: Final[list[dict[str, Any]]] = [
    {"name": "acme", "password": HUNTER2, "tier": "free", "scopes": ["orders:read"], "groups": ["partners"]},
    {"name": "Zo\xeb", "password": hashed("p\xe4ss:w\xf6rd \U0001f511")},
]


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def made(folder: Path, users: object = USERS, clock: FakeClock | None = None) -> Basic:
    file = folder / "users.yaml"
    file.write_text(users if isinstance(users, str) else yaml.safe_dump({"users": users}), "utf-8")
    method = BasicKind.build("people", BasicSettings(users=file), fake_ports(clock=clock or FakeClock()))
    assert isinstance(method, Basic)
    return method


async def ask(method: Basic, text: str | bytes) -> Any:
    return await method.authenticate(asking({"authorization": f"Basic {encoded(text)}"}))


async def test_a_name_and_its_password_name_a_consumer(tmp_path: Path) -> None:
    method = made(tmp_path)
    assert await ask(method, "acme:hunter2") == Consumer("acme", "free", ("orders:read",), groups=("partners",))
    assert await ask(method, "Zo\xeb:p\xe4ss:w\xf6rd \U0001f511") == Consumer("Zo\xeb")


async def test_letters_are_the_same_however_a_client_composes_them(tmp_path: Path) -> None:
    """RFC 7617 §2.1: a name that is typed on another system may come in another normal form."""
    decomposed = "Zoe\u0308:pa\u0308ss:wo\u0308rd \U0001f511"
    assert await ask(made(tmp_path), decomposed) == Consumer("Zo\xeb")


@pytest.mark.parametrize(
    "credential",
    ["acme:hunter3", "acme:", "acme:hunter2 ", "acme:Hunter2", "nobody:hunter2", "Acme:hunter2", "Zo\xeb:hunter2"],
)
async def test_every_other_password_is_wrong_in_the_same_words(credential: str, tmp_path: Path) -> None:
    method = made(tmp_path)
    answer = await ask(method, credential)
    assert refused(answer) == WRONG
    assert answer == await ask(method, "nobody:at all")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "not_basic_credentials"),
        ("Bearer abc", "not_basic_credentials"),
        (f"Basic\t{encoded('acme:hunter2')}", "not_basic_credentials"),
        ("Basic", "malformed_credentials"),
        ("Basic ", "malformed_credentials"),
        (f"Basic  {encoded('acme:hunter2')}", "malformed_credentials"),
        (f"Basic {encoded('acme:hunter2')} ", "malformed_credentials"),
        (f"Basic {encoded('acme:hunter2')},Basic {encoded('acme:hunter2')}", "malformed_credentials"),
        (f"Basic {encoded('acme:hunter2')[:-1]}", "malformed_credentials"),
        ("Basic YWNtZTpodW50ZXIy\n", "malformed_credentials"),
        ("Basic YTpiYh==", "malformed_credentials"),
        ("Basic YTpi_-==", "malformed_credentials"),
        (f"Basic {encoded('acme')}", "malformed_credentials"),
        (f"Basic {encoded(':hunter2')}", "malformed_credentials"),
        (f"Basic {encoded('acme:hun' + chr(0) + 'ter2')}", "malformed_credentials"),
        (f"Basic {encoded('ac' + chr(10) + 'me:hunter2')}", "malformed_credentials"),
        (f"Basic {encoded(b'Zo' + bytes([0xEB]) + b':x')}", "malformed_credentials"),
        (f"Basic {encoded('acme:' + 'x' * 1020)}", "malformed_credentials"),
        (f"Basic {'A' * 60_000}", "malformed_credentials"),
    ],
)
async def test_credentials_are_spelled_in_exactly_one_way(value: str, reason: str, tmp_path: Path) -> None:
    assert refused(await made(tmp_path).authenticate(asking({"authorization": value}))) == (401, reason)


async def test_two_fields_are_refused_whichever_is_good(tmp_path: Path) -> None:
    good = f"Basic {encoded('acme:hunter2')}"
    request = Request("GET", "/", headers=Headers.of([("authorization", good), ("authorization", good)]))
    assert refused(await made(tmp_path).authenticate(request)) == (401, "not_basic_credentials")


@dataclass(slots=True)
class Counting:
    """The real verification, counted by the hash that it was asked for; held back where a test says so."""

    hashes: list[bytes] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    free: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, stored: bytes, password: bytes) -> bool:
        with self.lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self.hashes.append(stored)
            self.threads.add(threading.current_thread().name)
        self.free.wait(30)
        with self.lock:
            self.at_once -= 1
        return MATCHES(stored, password)


MATCHES: Final = basic._matches


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    found = Counting()
    found.free.set()
    monkeypatch.setattr(basic, "_matches", found)
    return found


async def test_verifying_is_never_on_the_loop(counting: Counting, tmp_path: Path) -> None:
    await ask(made(tmp_path), "acme:hunter2")
    assert threading.current_thread().name not in counting.threads
    assert all(name.startswith("password") for name in counting.threads)


async def test_what_was_verified_is_good_for_a_minute(counting: Counting, tmp_path: Path) -> None:
    clock = FakeClock()
    method = made(tmp_path, clock=clock)
    for _ in range(10):
        assert isinstance(await ask(method, "acme:hunter2"), Consumer)
    assert len(counting.hashes) == 1
    clock.advance(60)
    assert isinstance(await ask(method, "acme:hunter2"), Consumer)
    assert len(counting.hashes) == 2


async def test_what_was_wrong_is_wrong_for_a_moment(counting: Counting, tmp_path: Path) -> None:
    clock = FakeClock()
    method = made(tmp_path, clock=clock)
    for _ in range(10):
        assert refused(await ask(method, "acme:hunter3")) == WRONG
    assert len(counting.hashes) == 1
    clock.advance(5)
    assert refused(await ask(method, "acme:hunter3")) == WRONG
    assert len(counting.hashes) == 2
    assert isinstance(await ask(method, "acme:hunter2"), Consumer), "another password is another question"


async def test_a_flood_of_passwords_takes_bounded_room(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basic, "KEPT", 3)
    method = made(tmp_path)
    for number in range(9):
        await ask(method, f"acme:{number}")
    assert len(method.bad) == 3


async def test_an_unknown_name_costs_as_much_as_a_known_one(counting: Counting, tmp_path: Path) -> None:
    """Hashes that are not all equally dear: the decoy of a name is always the same one, and as dear as some user's."""
    dear = hashed("hunter2", memory=2 * CHEAPEST, passes=2)
    method = made(tmp_path, [*USERS, {"name": "dear", "password": dear}])
    for number in range(40):
        assert refused(await ask(method, f"nobody-{number}:hunter2")) == WRONG
        assert refused(await ask(method, f"nobody-{number}:another")) == WRONG
    costs = [stored.rpartition(b"$")[0] for stored in counting.hashes]
    assert costs[::2] == costs[1::2]
    assert set(costs) == {known.password.rpartition(b"$")[0] for known in method.users.values()}


async def test_a_decoy_is_verified_to_the_end_and_matches_nothing(tmp_path: Path) -> None:
    method = made(tmp_path)
    for decoy in method.decoys:
        assert MATCHES(decoy, b"hunter2") is False
    assert set(method.decoys).isdisjoint(known.password for known in method.users.values())


async def test_two_are_verified_at_once_eight_wait_and_more_get_503(counting: Counting, tmp_path: Path) -> None:
    counting.free.clear()
    method = made(tmp_path)
    waiting = [asyncio.ensure_future(ask(method, f"acme:{number}")) for number in range(10)]
    await until(lambda: len(method.flights) == 10)
    with pytest.raises(StoreUnavailable) as raised:
        await ask(method, "acme:hunter2")
    assert "acme" not in str(raised.value)
    counting.free.set()
    assert [refused(answer) for answer in await asyncio.gather(*waiting)] == [WRONG] * 10
    assert counting.most <= 2
    assert isinstance(await ask(method, "acme:hunter2"), Consumer)


async def test_who_asks_the_same_at_once_is_verified_once(counting: Counting, tmp_path: Path) -> None:
    counting.free.clear()
    method = made(tmp_path)
    waiting = [asyncio.ensure_future(ask(method, "acme:hunter2")) for _ in range(50)]
    await until(lambda: counting.hashes)
    counting.free.set()
    answers = await asyncio.gather(*waiting)
    assert len(counting.hashes) == 1
    assert all(isinstance(answer, Consumer) for answer in answers)


async def test_a_password_that_could_not_be_verified_is_not_a_wrong_one(tmp_path: Path) -> None:
    method = made(tmp_path)
    broken = basic.Known(b"$argon2id$v=19$m=7168,t=1,p=1$broken", Consumer("acme"))
    object.__setattr__(method, "users", {"acme": broken})
    with pytest.raises(StoreUnavailable, match="could not be verified"):
        await ask(method, "acme:hunter2")


async def test_neither_hash_nor_key_nor_password_is_shown(tmp_path: Path) -> None:
    method = made(tmp_path)
    await ask(method, "acme:hunter2")
    assert "hunter2" not in repr(method)
    assert repr(method.key) not in repr(method)
    assert b"hunter2" not in b"".join(method.good._kept)


def costing(memory: int = CHEAPEST, passes: int = 1, lanes: int = 1) -> str:
    """A hash as it would look that costs so much; working it out would stall the test."""
    return HUNTER2.replace(f"m={CHEAPEST},t=1,p=1", f"m={memory},t={passes},p={lanes}")


@pytest.mark.parametrize(
    "password",
    [
        "hunter2", "", HUNTER2[:-1], HUNTER2.replace("argon2id", "argon2i"), HUNTER2 + "$",
        HUNTER2.replace("v=19", "v=16"), HUNTER2.replace(",t=1", ""), HUNTER2.replace("p=1", "p=01"),
        costing(memory=CHEAPEST - 1), costing(memory=64 * 1024 + 1), costing(memory=4_000_000), costing(lanes=5),
        costing(memory=64 * 1024, passes=4), costing(passes=28), costing(passes=99), HUNTER2 + "\n",
        "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
    ],
)  # fmt: skip
def test_a_hash_that_is_none_or_would_stall_the_gateway_is_refused_and_not_quoted(
    password: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"users\.1\.password: ") as refusal:
        made(tmp_path, [USERS[1], {"name": "acme", "password": password}])
    assert len(password) < 3 or password not in str(refusal.value)


@pytest.mark.parametrize(
    "password",
    [costing(memory=64 * 1024, passes=3, lanes=4), costing(passes=27), hash_password("hunter2")],
    ids=["large", "slow", "ours"],
)
def test_a_hash_that_others_recommend_is_taken(password: str, tmp_path: Path) -> None:
    assert made(tmp_path, [{"name": "acme", "password": password}])


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ([], "users: "),
        ([{**USERS[0], "name": "a:b"}], "users.0.name: not a user's name"),
        ([{**USERS[0], "name": ""}], "users.0.name: not a user's name"),
        ([{**USERS[0], "name": "a\x00"}], "users.0.name: not a user's name"),
        ([{**USERS[0], "scopes": ["a b"]}], "users.0.scopes.0: not a scope"),
        ([{**USERS[0], "correct horse": 1}], "users.0....: "),
        ([USERS[0], USERS[0]], "one name stands twice"),
        ([{**USERS[0], "name": "Zo\xeb"}, {**USERS[0], "name": "Zoe\u0308"}], "one name stands twice"),
        ("users: [", "is not a YAML file of users"),
        ("[]", "is not"),
    ],
)
def test_a_file_that_is_no_file_of_users_is_refused(users: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"users\.yaml") as refusal:
        made(tmp_path, users)
    assert said in str(refusal.value) or said == "is not"
    assert "$argon2id" not in str(refusal.value).replace("as $argon2id", "")
    assert "correct horse" not in str(refusal.value)


@pytest.mark.parametrize("password", ["", "x" * 769, "a\nb", "\x00"])
def test_a_password_that_nobody_could_send_is_not_hashed(password: str) -> None:
    with pytest.raises(ValueError, match="a password has 1 to 768 bytes") as refusal:
        hash_password(password)
    assert not password or password not in str(refusal.value)


async def test_the_hash_of_a_password_verifies_it(tmp_path: Path) -> None:
    method = made(tmp_path, [{"name": "acme", "password": hash_password("pa\u0308ss word")}])
    assert isinstance(await ask(method, "acme:p\xe4ss word"), Consumer)
    assert hash_password("same") != hash_password("same")


@pytest.mark.parametrize("realm", ['a "shop"', "a\\b", "", "a\nb", "x" * 65, "caf\xe9"])
def test_a_realm_that_would_break_its_quotes_is_refused(realm: str) -> None:
    with pytest.raises(ValidationError):
        BasicSettings.model_validate({"users": __file__, "realm": realm})


def test_a_method_tells_how_to_ask_and_what_to_remove(tmp_path: Path) -> None:
    method = made(tmp_path)
    assert (method.name, method.challenge) == ("people", 'Basic realm="gateway", charset="UTF-8"')
    assert method.credential_headers == ("authorization",)
    assert method.presents(asking({"authorization": "Bearer a"}))
    assert not method.presents(asking())
