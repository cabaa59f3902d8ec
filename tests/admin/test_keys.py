"""API keys over the admin address: for the bearer of the admin token, and no key anywhere but in its own answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from starlette.applications import Starlette

from extproc.admin.application import application
from extproc.admin.keys import MAX_BODY
from extproc.core.api_key import digest, is_well_formed
from extproc.core.errors import StoreUnavailable
from extproc.stores.key_keeper import KeyKeeper
from extproc.stores.keys import MemoryKeys
from extproc.testing import FakeClock
from tests.admin.test_application import TOKEN, Answer, Facts
from tests.stores.key_stores import FakeEvents, entry_of, key_of

BEARER: Final = f"Bearer {TOKEN}".encode()
WISH: Final = {"consumer": "acme", "tier": "free", "scopes": ["a"], "groups": ["g"], "expires": "90d"}


class Down(MemoryKeys):
    """A store that nobody reaches."""

    async def entries(self) -> Any:
        raise StoreUnavailable("keys: Redis does not answer (ConnectionError)")

    async def add(self, entry: object) -> None:
        raise StoreUnavailable("keys: Redis does not answer (ConnectionError)")


@dataclass(slots=True)
class Admin:
    """An admin address with two keys, asked as a server would hand requests over."""

    clock: FakeClock = field(default_factory=FakeClock)
    events: FakeEvents = field(default_factory=FakeEvents)
    store: MemoryKeys = field(init=False)
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryKeys(self.clock, [entry_of(1), entry_of(2)])
        self.app = application(Facts(), TOKEN, KeyKeeper(self.store, self.clock), self.events)

    async def ask(
        self, method: str, path: str, body: object = None, authorization: bytes | None = BEARER, chunk: int = 1000
    ) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        parts = [raw[start : start + chunk] for start in range(0, len(raw), chunk)] or [b""]
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "server": ("::1", 9900),
            "headers": [(b"authorization", authorization)] if authorization is not None else [],
        }  # fmt: skip

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        answer = Answer()
        await self.app(scope, receive, answer.send)
        return answer


@pytest.fixture
def admin() -> Admin:
    return Admin()


def told(answer: Answer) -> Mapping[str, Any]:
    document = answer.document
    assert isinstance(document, dict)
    return document


def reason(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert told(answer)["status"] == answer.status
    return answer.status, told(answer)["reason"]


async def test_keys_are_listed_without_their_digests(admin: Admin) -> None:
    answer = await admin.ask("GET", "/keys")
    assert answer.status == 200
    assert [one["id"] for one in told(answer)["keys"]] == [entry_of(1).id, entry_of(2).id]
    assert digest(key_of(1)) not in answer.body.decode()
    assert answer.headers["cache-control"] == "no-store"


async def test_a_key_that_is_made_is_in_its_answer_and_in_no_event(admin: Admin) -> None:
    answer = await admin.ask("POST", "/keys", WISH)
    made = told(answer)
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    assert is_well_formed(made["key"])
    assert (made["consumer"], made["tier"], made["scopes"], made["groups"]) == ("acme", "free", ["a"], ["g"])
    assert await admin.store.consumer_of(digest(made["key"])) is not None
    assert admin.events.told == [
        ("keys_changed", {"who": "admin", "what": "created", "id": made["id"], "consumer": "acme"})
    ]
    assert made["key"] not in str(admin.events.told)
    assert made["key"] not in (await admin.ask("GET", "/keys")).body.decode()


async def test_a_key_is_rotated_with_a_day_to_change_over_unless_somebody_says_otherwise(admin: Admin) -> None:
    answer = await admin.ask("POST", f"/keys/{entry_of(1).id}/rotate")
    made = told(answer)
    assert answer.status == 201
    assert made["replaces"]["id"] == entry_of(1).id
    assert await admin.store.consumer_of(digest(key_of(1))) is not None
    admin.clock.advance(86_400)
    assert await admin.store.consumer_of(digest(key_of(1))) is None
    quick = told(await admin.ask("POST", f"/keys/{entry_of(2).id}/rotate", {"overlap": "0s"}))
    assert await admin.store.consumer_of(digest(key_of(2))) is None
    assert [(fields["what"], fields["replaces"]) for _, fields in admin.events.told] == [
        ("rotated", entry_of(1).id), ("rotated", entry_of(2).id),
    ]  # fmt: skip
    assert made["key"] not in str(admin.events.told)
    assert quick["key"] not in str(admin.events.told)


async def test_a_key_is_revoked_once(admin: Admin) -> None:
    answer = await admin.ask("DELETE", f"/keys/{entry_of(1).id}")
    assert (answer.status, told(answer)["revoked"]["id"]) == (200, entry_of(1).id)
    assert await admin.store.consumer_of(digest(key_of(1))) is None
    assert await admin.store.consumer_of(digest(key_of(2))) is not None
    assert reason(await admin.ask("DELETE", f"/keys/{entry_of(1).id}")) == (404, "unknown_key")
    assert [(fields["what"], fields["id"]) for _, fields in admin.events.told] == [("revoked", entry_of(1).id)]


ENDPOINTS: Final = [
    ("GET", "/keys"), ("POST", "/keys"), ("POST", f"/keys/{entry_of(1).id}/rotate"),
    ("DELETE", f"/keys/{entry_of(1).id}"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("authorization", [None, b"", b"Bearer", b"Bearer wrong", b"Basic correct-horse"])
async def test_nobody_else_lists_or_changes_anything(
    admin: Admin, method: str, path: str, authorization: bytes | None
) -> None:
    before = list(await admin.store.entries())
    assert reason(await admin.ask(method, path, WISH, authorization)) == (401, "no_admin_token")
    assert list(await admin.store.entries()) == before
    assert admin.events.told == []


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
async def test_where_there_is_no_store_it_says_so(method: str, path: str) -> None:
    admin = Admin()
    admin.app = application(Facts(), TOKEN, None, admin.events)
    answer = await admin.ask(method, path, WISH if path == "/keys" else None)
    assert reason(answer) == (409, "key_conflict")
    assert "names no store of keys" in told(answer)["detail"]


async def test_a_store_that_does_not_answer_is_an_outage_and_no_event(admin: Admin) -> None:
    admin.app = application(Facts(), TOKEN, KeyKeeper(Down(admin.clock), admin.clock), admin.events)
    for answer in (await admin.ask("GET", "/keys"), await admin.ask("POST", "/keys", WISH)):
        assert reason(answer) == (503, "store_unavailable")
    assert admin.events.told == []


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b"null", b"{}", b"\xff", b'{"consumer": "a", "consumer": "b"}', b'{"consumer": NaN}',
        {"consumer": ""}, {"consumer": 7}, {"consumer": "a", "scopes": "b"}, {"consumer": "a", "expires": "soon"},
        {"consumer": "a", "expires": "2020-01-01"}, {"consumer": "a", key_of(7): 1}, {"consumer": f"a\n{key_of(7)}"},
        {"consumer": "a", "tier": f" {key_of(7)}"}, b"[" * 10_000,
    ],
)  # fmt: skip
async def test_a_wish_that_cannot_be_read_is_refused_in_words_that_quote_nothing(admin: Admin, body: object) -> None:
    answer = await admin.ask("POST", "/keys", body)
    assert reason(answer) == (400, "invalid_request")
    assert key_of(7) not in answer.body.decode()
    assert admin.events.told == []


@pytest.mark.parametrize("body", [{"overlap": "soon"}, {"overlap": 7}, {"overlap": "-1h"}, {"consumer": "mallory"}])
async def test_a_rotation_takes_no_more_than_times(admin: Admin, body: object) -> None:
    assert reason(await admin.ask("POST", f"/keys/{entry_of(1).id}/rotate", body)) == (400, "invalid_request")


async def test_a_key_that_is_replaced_already_is_a_conflict(admin: Admin) -> None:
    rotate = f"/keys/{entry_of(1).id}/rotate"
    await admin.ask("POST", rotate)
    assert reason(await admin.ask("POST", rotate)) == (409, "key_conflict")


async def test_a_body_is_read_no_further_than_its_bound(admin: Admin) -> None:
    large = b'{"consumer": "' + b"a" * MAX_BODY + b'"}'
    assert reason(await admin.ask("POST", "/keys", large)) == (413, "body_too_large")
    endless = b" " * (100 * MAX_BODY)
    assert reason(await admin.ask("POST", "/keys", endless, chunk=MAX_BODY)) == (413, "body_too_large")


@pytest.mark.parametrize("key", [key_of(1), digest(key_of(1)), "key_", "x" * 10_000])
async def test_what_is_no_id_is_not_repeated_where_it_may_be_a_key(admin: Admin, key: str) -> None:
    for answer in (await admin.ask("DELETE", f"/keys/{key}"), await admin.ask("POST", f"/keys/{key}/rotate")):
        assert reason(answer) == (404, "unknown_key")
        assert len(key) <= 16 or key not in answer.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/keys", 405), ("GET", "/keys/x", 405), ("GET", "/keys/x/rotate", 405), ("POST", "/nothing", 404)],
)
async def test_what_there_is_not_is_told_as_a_problem_too(admin: Admin, method: str, path: str, status: int) -> None:
    assert reason(await admin.ask(method, path))[0] == status
