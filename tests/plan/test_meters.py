"""Which routes are metered, what that shows the sidecar, and what it does to their limits."""

from __future__ import annotations

import pytest

from extproc.core.metering import Meter, Style
from extproc.core.problems import InvalidConfig
from extproc.core.processing import BodyMode
from extproc.core.specs import LimitSpec
from extproc.plan.model import RoutePlan
from extproc.plan.processing import METERED_PIECES, TOO_LARGE, WHOLE_AND_IN_PIECES
from extproc.plan.rules import brief_of, rule_of
from tests.plan.gateways import route_of

EDITED = "{use: transform, response: {json: {remove: [a]}}}"
TOKENS = "limits: [{per: route, tokens: 9/hour}]"


def planned(written: str, defaults: str = "authenticate: none") -> RoutePlan:
    return route_of(f"upstream: users, {written}", defaults=defaults)


def meter_in(route: RoutePlan) -> Meter | None:
    return next((spec.settings for spec in route.policies if isinstance(spec.settings, Meter)), None)


def test_a_metered_route_shows_answers_as_they_pass_and_no_request() -> None:
    route = planned(f"authenticate: none, {TOKENS}, meter: openai")
    shown = route.placement.shown
    assert (shown.request.headers, shown.response.body) == (False, BodyMode.FULL_DUPLEX)
    assert route.placement.filters == ("ext_authz", "ext_proc with streams")
    (limits,) = [spec.settings for spec in route.policies if isinstance(spec.settings, LimitSpec)]
    assert limits.metered


def test_what_a_request_asks_for_is_seen_in_its_body() -> None:
    route = planned(f"authenticate: none, {TOKENS}, meter: {{reserve: [max_tokens]}}")
    assert route.placement.filters == ("ext_authz", "ext_proc with requests' bodies with streams")


def test_the_meter_is_the_last_of_all_policies_so_that_it_sees_what_the_upstream_says() -> None:
    edits = "policies: [{use: transform, response: {events: {json: {remove: [usage]}}}}]"
    route = planned(f"authenticate: none, {TOKENS}, meter: openai, {edits}")
    assert [spec.kind for spec in route.policies] == ["limit", "transform", "meter"]


def test_a_style_is_its_words_but_for_those_that_are_written() -> None:
    written = "meter: {style: anthropic, text: [a.b], bytes_per_token: 2}"
    meter = meter_in(planned(f"authenticate: none, {TOKENS}, {written}"))
    assert meter is not None
    assert (meter.style, meter.texts, meter.bytes_per_token) == (Style.ANTHROPIC, (("a", "b"),), 2)
    assert meter.usage[0] == (("usage", "input_tokens"), ("message", "usage", "input_tokens"))


def test_a_meter_is_told_in_a_line() -> None:
    route = planned(f"authenticate: none, {TOKENS}, meter: {{bytes_per_token: 3, reserve: [a, 'b[].c']}}")
    assert rule_of(route.policies[-1]) == "as openai says, else a token for 3 bytes; reserves a or b[].c"
    assert brief_of(route.policies[-1]) == "as openai says"


@pytest.mark.parametrize("written", ["limits: []", "limits: [{per: route, rate: 5/s}]", f"{TOKENS}, meter: none"])
def test_defaults_meter_nothing_where_no_tokens_are_counted_or_the_route_says_no(written: str) -> None:
    route = planned(written, "authenticate: none, meter: openai")
    assert meter_in(route) is None
    assert not any(spec.settings.metered for spec in route.policies if isinstance(spec.settings, LimitSpec))


def test_defaults_meter_where_tokens_are_counted() -> None:
    assert meter_in(planned(TOKENS, "authenticate: none, meter: openai")) is not None


@pytest.mark.parametrize(
    ("written", "said", "hint"),
    [
        (f"policies: [{EDITED}], meter: openai", WHOLE_AND_IN_PIECES, METERED_PIECES),
        ("body_limit: 4MiB, meter: {reserve: [a]}", TOO_LARGE, ""),
    ],
)  # fmt: skip
def test_what_envoy_could_not_show_is_an_error_of_the_file(written: str, said: str, hint: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        planned(f"authenticate: none, {TOKENS}, {written}")
    (problem,) = caught.value.problems
    assert (problem.message, problem.hint) == (said, hint)
