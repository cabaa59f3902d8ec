from __future__ import annotations

import json

import pytest

from extproc.core.versions import ApiVersion, BrownOut, Status, fields_of, version_refused

JANUARY, APRIL = 1_735_689_600, 1_743_465_600  # 2025-01-01, 2025-04-01
OLD = ApiVersion(
    "v1", Status.DEPRECATED, JANUARY, APRIL, "v2", "https://shop.example/v1", "https://shop.example/ends",
    (BrownOut(JANUARY + 100, JANUARY + 200),),
)  # fmt: skip


def test_a_deprecation_is_a_structured_date_and_a_sunset_an_http_date() -> None:
    fields = dict(fields_of(OLD, "/api/v2/users"))
    assert fields["deprecation"] == "@1735689600"
    assert fields["sunset"] == "Tue, 01 Apr 2025 00:00:00 GMT"
    assert fields["link"] == (
        '<https://shop.example/v1>; rel="deprecation", <https://shop.example/ends>; rel="sunset", '
        '</api/v2/users>; rel="successor-version"'
    )


def test_a_current_version_says_nothing() -> None:
    assert fields_of(ApiVersion("v2")) == ()
    assert not ApiVersion("v2").ends


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (JANUARY - 1, ""), (JANUARY + 99.9, ""), (JANUARY + 100, "version_brown_out"),
        (JANUARY + 199.9, "version_brown_out"), (JANUARY + 200, ""), (APRIL - 0.1, ""), (APRIL, "version_sunset"),
        (APRIL + 10**9, "version_sunset"),
    ],
)  # fmt: skip
def test_a_version_is_gone_from_its_sunset_on_and_while_it_is_switched_off(now: float, reason: str) -> None:
    assert OLD.gone(now) == reason


def test_a_version_whose_status_is_sunset_is_gone_whatever_the_time() -> None:
    assert ApiVersion("v0", Status.SUNSET).gone(0) == "version_sunset"
    assert ApiVersion("v0", Status.SUNSET).ends


def test_what_is_gone_names_its_successor() -> None:
    reply = version_refused(OLD, "version_sunset", "/api/v2/users")
    problem = json.loads(reply.body)
    assert (reply.status, reply.reason) == (410, "version_sunset")
    assert problem["detail"] == "version v1 of this API is gone; use v2"
    assert (problem["version"], problem["successor"], problem["successor_at"]) == ("v1", "v2", "/api/v2/users")
    assert dict(reply.headers)["sunset"] == "Tue, 01 Apr 2025 00:00:00 GMT"
    assert dict(reply.headers)["cache-control"] == "no-store", "a brown-out ends"


def test_a_version_without_a_successor_is_gone_without_one() -> None:
    problem = json.loads(version_refused(ApiVersion("v0", Status.SUNSET), "version_sunset").body)
    assert "successor" not in problem
    assert "use" not in problem["detail"]
