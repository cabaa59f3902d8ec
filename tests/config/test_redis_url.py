"""The URL of a Redis: every way of writing one that would be lost on the way to it, or show a secret."""

from __future__ import annotations

import re

import pytest

from extproc.config.model import NO_KEY_STORE, Sidecar
from extproc.config.redis_url import (
    NO_REDIS_URL,
    NO_SHARED_URL,
    SHARED_PATTERN,
    RedisPlace,
    check_redis_url,
    check_shared_url,
    is_redis_url,
    names_password,
    place_of,
)
from extproc.config.settings import FOLDER

GOOD = [
    "redis://redis:6379", "redis://10.0.0.1", "redis://redis:6379/2", "rediss://redis.example.com:6380/0",
    "redis://user:pass@redis/1", "redis://:pass@[::1]:6379", "unix:///run/redis.sock", "unix:///run/redis.sock?db=3",
    "unix://:pass@/run/redis.sock",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_a_url_of_each_scheme_is_taken_as_it_is(url: str) -> None:
    assert is_redis_url(url)
    assert check_redis_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis:///0", "redis://h:0", "redis://h:99999", "redis://h/x", "redis://h/1/2", "unix://", "unix:///",
        "unix://host/run/redis.sock", "redis://h?socket_timeout=99", "rediss://h?ssl_cert_reqs=none", "redis://h#f",
        "redis://h h", "unix:///s?db=x", "unix:///s?db=1&retry_on_timeout=1", "redis://[::1", "http://h", "redis:h",
    ],
)  # fmt: skip
def test_what_would_be_lost_or_change_what_is_set_here_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        check_redis_url(url)
    assert str(refused.value) == NO_REDIS_URL


def test_a_password_is_noticed_and_in_no_repr_of_the_settings() -> None:
    assert [names_password(url) for url in ("redis://h", "redis://u@h", "redis://u:p@h", "unix://:p@/s")] == [
        False, False, True, True,
    ]  # fmt: skip
    url = "redis://:hunter2@redis/0"
    sidecar = Sidecar.model_validate({"stores": {"keys": url}}, context={FOLDER: "/"})
    assert sidecar.stores.keys == url
    assert "hunter2" not in repr(sidecar) + str(sidecar)


@pytest.mark.parametrize("keys", ["keys.yaml", "", "http://h", "postgres://h", "redis"])
def test_a_store_that_is_neither_a_file_nor_a_redis_is_refused(keys: str) -> None:
    with pytest.raises(ValueError, match=NO_KEY_STORE):
        Sidecar.model_validate({"stores": {"keys": keys}})


PLACES = [
    ("redis+sentinel://a:26379/counters", RedisPlace((("a", 26379),), "counters")),
    ("redis+sentinel://a:1,b:2,[::1]:3/my.service/7", RedisPlace((("a", 1), ("b", 2), ("::1", 3)), "my.service", 7)),
    ("rediss+sentinel://u:p%40ss@a:1/s", RedisPlace((("a", 1),), "s", 0, "u", "p@ss", tls=True)),
    ("redis+cluster://a:7000,b:7001", RedisPlace((("a", 7000), ("b", 7001)))),
    ("rediss+cluster://:secret@10.0.0.1:7000/", RedisPlace((("10.0.0.1", 7000),), password="secret", tls=True)),
]


@pytest.mark.parametrize(("url", "place"), PLACES)
def test_a_url_of_several_servers_names_them_all(url: str, place: RedisPlace) -> None:
    assert check_shared_url(url) == url
    assert place_of(url) == place
    assert re.fullmatch(SHARED_PATTERN, url)
    assert not place.password or place.password not in repr(place)


@pytest.mark.parametrize("url", GOOD)
def test_one_server_may_count_as_well(url: str) -> None:
    assert check_shared_url(url) == url
    assert place_of(url) is None
    assert re.fullmatch(SHARED_PATTERN, url)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1", "redis+sentinel:///s", "redis+sentinel://a/s", "redis+sentinel://a:1,/s",
        "redis+sentinel://a:99999/s", "redis+sentinel://a:0/s", "redis+sentinel://a:1/s/x", "redis+sentinel://a:1/s?x=1",
        "redis+cluster://a:1/0", "redis+cluster://", "redis+cluster://a:1,b", "redis+other://a:1", "redis+cluster://a:1#f",
        "redis://h?ssl_cert_reqs=none", "memcached://h", "",
    ],
)  # fmt: skip
def test_what_names_no_server_or_more_than_is_known_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        check_shared_url(url)
    assert str(refused.value) == NO_SHARED_URL


def test_a_password_of_the_counters_is_in_no_repr_of_the_settings() -> None:
    sidecar = Sidecar.model_validate({"stores": {"counters": "redis+cluster://:hunter2@a:7000"}}, context={FOLDER: "/"})
    assert sidecar.stores.counters.endswith("a:7000")
    assert "hunter2" not in repr(sidecar) + str(sidecar)
