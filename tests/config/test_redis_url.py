"""The URL of a Redis: every way of writing one that would be lost on the way to it, or show a secret."""

from __future__ import annotations

import pytest

from extproc.config.model import NO_KEY_STORE, Sidecar
from extproc.config.redis_url import NO_REDIS_URL, check_redis_url, is_redis_url, names_password
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
