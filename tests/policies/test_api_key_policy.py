"""API keys: one key in one header, told apart from a typo, looked up by its digest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from pydantic import ValidationError

from extproc.core.api_key import digest, spell
from extproc.core.errors import StoreUnavailable
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.policy import Authenticator, credential_query
from extproc.policies.api_key import ApiKeyKind, ApiKeySettings
from extproc.testing import fake_ports
from tests.policies.asking import asking, refused

KEY: Final = spell(b"\x01" * 20)
OTHER: Final = spell(b"\x02" * 20)
ACME: Final = Consumer("acme", "free", ("orders:read",))
UNKNOWN: Final = (401, "unknown_api_key")


@dataclass(slots=True)
class Noting:
    """A key store that keeps what it was asked."""

    asked: list[str] = field(default_factory=list)

    async def consumer_of(self, digest: str) -> Consumer | None:
        self.asked.append(digest)
        return None


class Down:
    async def consumer_of(self, digest: str) -> Consumer | None:
        raise StoreUnavailable("no answer in time")


def method(**settings: object) -> Authenticator:
    written = ApiKeySettings.model_validate(settings)
    return ApiKeyKind.build("partners", written, fake_ports(api_keys={KEY: ACME}))


async def test_a_known_key_names_its_consumer() -> None:
    assert await method().authenticate(asking({"x-api-key": KEY})) == ACME


async def test_the_header_is_the_operators_choice() -> None:
    partners = method(header="x-partner-key")
    request = asking({"x-partner-key": KEY})
    assert partners.presents(request)
    assert not partners.presents(asking({"x-api-key": KEY}))
    assert await partners.authenticate(request) == ACME
    assert (partners.challenge, tuple(partners.credential_headers)) == (
        'ApiKey header="x-partner-key"',
        ("x-partner-key",),
    )


@pytest.mark.parametrize(
    "key",
    [
        "", "xpk_", KEY[:-1], KEY + "0", KEY[:-1] + ("0" if KEY[-1] != "0" else "1"), OTHER, KEY.lower(), f"{KEY} ",
        "\u0445" + KEY[1:], KEY.replace("x", "\xd7", 1), "k" * 1_000_000, digest(KEY), "\xff" * 37,
    ],
)  # fmt: skip
async def test_every_other_key_is_unknown_in_the_same_words(key: str) -> None:
    answer = await method().authenticate(asking({"x-api-key": key}))
    assert refused(answer) == UNKNOWN
    assert answer == await method().authenticate(asking({"x-api-key": OTHER}))


@pytest.mark.parametrize("values", [(KEY, KEY), (KEY, ""), (OTHER, KEY), (f"{KEY},{OTHER}",), (f"{KEY},",)])
async def test_two_keys_are_refused_whichever_is_good(values: tuple[str, ...]) -> None:
    request = Request("GET", "/", headers=Headers.of([("x-api-key", value) for value in values]))
    assert refused(await method().authenticate(request)) == (401, "several_credentials")


async def test_the_store_sees_digests_only_and_no_key_that_is_misspelt() -> None:
    store = Noting()
    partners = ApiKeyKind.build("partners", ApiKeySettings(), replace(fake_ports(), keys=store))
    await partners.authenticate(asking({"x-api-key": OTHER}))
    await partners.authenticate(asking({"x-api-key": OTHER[:-1] + "-"}))
    assert store.asked == [digest(OTHER)]


async def test_the_store_is_asked_for_a_digest_so_that_no_time_tells_how_much_of_a_key_is_right() -> None:
    """Keys that differ at their end only have digests that have nothing to do with each other, so whatever the store
    compares says nothing about the key: by construction, and nothing that a clock would have to show.
    """
    store = Noting()
    partners = ApiKeyKind.build("partners", ApiKeySettings(), replace(fake_ports(), keys=store))
    near = [spell(b"\x01" * 19 + bytes([last])) for last in range(64)]
    for key in near:
        await partners.authenticate(asking({"x-api-key": key}))
    assert [len(asked) for asked in store.asked] == [64] * 64
    assert len({key[:24] for key in near}) == 1, "these keys begin alike"
    assert len({asked[:8] for asked in store.asked}) == 64, "and their digests do not"


async def test_a_store_that_does_not_answer_is_not_an_unknown_key() -> None:
    partners = ApiKeyKind.build("partners", ApiKeySettings(), replace(fake_ports(), keys=Down()))
    with pytest.raises(StoreUnavailable):
        await partners.authenticate(asking({"x-api-key": KEY}))


IN_QUERY: Final = (f"apikey={KEY}", f"page=2&apikey={KEY}&sort=up", f"apikey={KEY.replace('_', '%5F')}")


@pytest.mark.parametrize("query", IN_QUERY)
async def test_a_key_may_come_in_the_query_where_the_operator_says_so(query: str) -> None:
    request = asking(query=query)
    partners = method(query="apikey")
    assert partners.presents(request)
    assert await partners.authenticate(request) == ACME
    assert not method().presents(request)
    assert partners.challenge == 'ApiKey header="x-api-key", query="apikey"'
    assert credential_query(partners) == ("apikey",)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"x-api-key": KEY}, f"apikey={KEY}"), ({"x-api-key": KEY}, "apikey="), ({"x-api-key": KEY}, "apikey"),
        ({"x-api-key": KEY}, f"a%70ikey={OTHER}"), ({}, f"apikey={KEY}&apikey={KEY}"), ({}, f"apikey={KEY}&apikey="),
        ({}, f"apikey={KEY}&%61pikey={OTHER}"), ({}, f"apikey={KEY},{OTHER}"), ({}, f"apikey={KEY}%2C{OTHER}"),
    ],
)  # fmt: skip
async def test_a_key_in_the_header_and_one_in_the_query_or_two_of_either_are_several(
    headers: dict[str, str], query: str
) -> None:
    answer = await method(query="apikey").authenticate(asking(headers, query=query))
    assert refused(answer) == (401, "several_credentials")


async def test_a_parameter_whose_name_is_spelt_so_that_envoy_would_leave_it_there_is_no_key() -> None:
    request = asking(query=f"api%6bey={KEY}")
    partners = method(query="apikey")
    assert partners.presents(request)
    assert refused(await partners.authenticate(request)) == UNKNOWN


@pytest.mark.parametrize(
    "settings",
    [{"header": "X-Api-Key"}, {"header": ""}, {"header": "a b"}, {"query": ""}, {"query": "a b"}, {"query": "a&b"}],
)
def test_settings_that_could_never_match_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ApiKeySettings.model_validate(settings)
