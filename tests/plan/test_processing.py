"""The least that a stream shows for what policies need to see, and what cannot be shown."""

from __future__ import annotations

import itertools

import pytest

from extproc.core.policy import Phase
from extproc.core.problems import InvalidConfig
from extproc.core.processing import MAX_SHOWN, BodyMode, Processing, Side
from extproc.plan.processing import (
    NOTHING_FORWARDED,
    TOO_LARGE,
    WHOLE_AND_IN_PIECES,
    WHOLE_OF_NO_END,
    flaw,
    processing_of,
)
from tests.plan.gateways import route_of

HEADERS = Side(headers=True)
WHOLE = Side(headers=True, body=BodyMode.BUFFERED)
PIECES = Side(headers=True, body=BodyMode.FULL_DUPLEX, trailers=True)

TABLE = [
    (set(), Processing()),
    ({Phase.REQUEST}, Processing()),
    ({Phase.FORWARD}, Processing(request=HEADERS)),
    ({Phase.REQUEST_BODY}, Processing(request=WHOLE)),
    ({Phase.FORWARD, Phase.REQUEST_BODY}, Processing(request=WHOLE)),
    ({Phase.RESPONSE}, Processing(response=HEADERS)),
    ({Phase.RESPONSE_BODY}, Processing(response=WHOLE)),
    ({Phase.RESPONSE_STREAM}, Processing(response=PIECES)),
    ({Phase.RESPONSE, Phase.RESPONSE_STREAM}, Processing(response=PIECES)),
    ({Phase.REQUEST_BODY, Phase.RESPONSE_STREAM}, Processing(WHOLE, PIECES)),
]


@pytest.mark.parametrize(("phases", "shown"), TABLE)
def test_a_stream_shows_no_more_than_policies_need_to_see(phases: set[Phase], shown: Processing) -> None:
    assert processing_of(phases) == shown


def test_whatever_is_asked_for_is_a_mode_that_envoy_takes_and_never_lock_step() -> None:
    for number in range(len(Phase) + 1):
        for phases in itertools.combinations(Phase, number):
            shown = processing_of(frozenset(phases))
            assert BodyMode.STREAMED not in (shown.request.body, shown.response.body)
            assert bool(shown) is bool(set(phases) - {Phase.REQUEST})


@pytest.mark.parametrize("side", [(False, BodyMode.BUFFERED, False), (True, BodyMode.FULL_DUPLEX, False)])
def test_a_mode_that_envoy_rejects_or_breaks_cannot_be_said(side: tuple[bool, BodyMode, bool]) -> None:
    with pytest.raises(ValueError, match=r"headers|trailers"):
        Side(*side)


FLAWS = [
    ({Phase.RESPONSE_BODY}, {Phase.RESPONSE_STREAM}, False, False, 1, WHOLE_AND_IN_PIECES),
    ({Phase.RESPONSE_STREAM}, {Phase.RESPONSE_BODY}, False, False, 1, ""),  # told of the other one
    ({Phase.RESPONSE_BODY}, set(), True, False, 1, WHOLE_OF_NO_END),
    ({Phase.RESPONSE_STREAM}, set(), True, False, 1, ""),
    ({Phase.FORWARD}, set(), False, True, 1, NOTHING_FORWARDED),
    ({Phase.REQUEST_BODY}, set(), False, True, 1, NOTHING_FORWARDED),
    ({Phase.RESPONSE}, set(), False, True, 1, ""),
    ({Phase.REQUEST_BODY}, set(), False, False, MAX_SHOWN, ""),
    ({Phase.REQUEST_BODY}, set(), False, False, MAX_SHOWN + 1, TOO_LARGE),
    ({Phase.FORWARD}, set(), False, False, MAX_SHOWN + 1, ""),
]


@pytest.mark.parametrize(("own", "others", "stream", "redirect", "limit", "said"), FLAWS)
def test_what_cannot_be_shown_is_an_error_of_the_file(
    own: set[Phase], others: set[Phase], stream: bool, redirect: bool, limit: int, said: str
) -> None:
    assert flaw(own, own | others, stream=stream, redirect=redirect, limit=limit) == said


STREAMED = "{use: transform, response: {events: {}}}"
PLANNED = [
    (
        f"upstream: users, policies: [{STREAMED}, {{use: transform, response: {{body: '1'}}}}]",
        WHOLE_AND_IN_PIECES, "routes[0].policies[1].use",
    ),
    ("upstream: users, stream: true, policies: [{use: transform, response: {json: {remove: [a]}}}]",
     WHOLE_OF_NO_END, "routes[0].policies[0].use"),
    ("redirect: {to: /new}, policies: [{use: transform, request: {path: \"'/a'\"}}]",
     NOTHING_FORWARDED, "routes[0].policies[0].use"),
    ("upstream: users, body_limit: 4MiB, policies: [{use: transform, request: {json: {remove: [a]}}}]",
     TOO_LARGE, "routes[0].policies[0].use"),
]  # fmt: skip


@pytest.mark.parametrize(("route", "said", "at"), PLANNED)
def test_a_file_is_refused_where_its_policy_stands(route: str, said: str, at: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        route_of(f"{route}, authenticate: none")
    (problem,) = caught.value.problems
    assert (problem.message, problem.path) == (said, at)


def test_each_route_shows_the_least_that_its_policies_need() -> None:
    shown = {
        "request: {headers: {x-a: route.name}}": Processing(),
        "request: {path: \"'/a'\"}": Processing(request=HEADERS),
        "request: {json: {remove: [a]}}": Processing(request=WHOLE),
        "response: {headers: {x-a: route.name}}": Processing(response=HEADERS),
        "response: {json: {remove: [a]}}": Processing(response=WHOLE),
        "response: {events: {json: {remove: [a]}}}": Processing(response=PIECES),
        "request: {body: \"'a'\"}, response: {headers: {x-a: route.name}}": Processing(WHOLE, HEADERS),
    }
    for edits, expected in shown.items():
        route = route_of(f"upstream: users, authenticate: none, policies: [{{use: transform, {edits}}}]")
        assert route.placement.shown == expected, edits
