"""What a request holds survives the way through Envoy, and nothing else does harm on it."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.calendar import Calendar, Unit
from extproc.core.held import is_metered, reservation, settlements, spell_held
from extproc.core.limits import Counter, Kind, Limit, OnError, Per, Settlement

SLOTS = Limit("open", "tier/free", Per.CONSUMER, 4, 60, 4, Kind.CONCURRENCY)
TOKENS = Limit("tokens", "route/a", Per.KEY, 9, 60, 9, Kind.BUDGET, Calendar(Unit.DAY), settle="x-tokens", of="'k'")
UNSETTLED = replace(TOKENS, settle="")


def found(held: tuple[Settlement, ...], **headers: str) -> list[tuple[str, str, int]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [(one.counter.key, one.held, one.amount) for one in settlements(spell_held(held), named)]


@given(st.lists(st.text()), st.text(min_size=1))
def test_whoever_is_counted_is_found_again(subject: list[str], held: str) -> None:
    of_slots, of_tokens = (Settlement(Counter(limit, tuple(subject)), held) for limit in (SLOTS, TOKENS))
    assert found((of_slots, of_tokens), x_tokens="7") == [
        (of_slots.counter.key, held, 0), (of_tokens.counter.key, held, 7),
    ]  # fmt: skip


@pytest.mark.parametrize("said", ["", "x", "-1", "1.5", "1e3", "0x10", "\u0661", "9" * 400, "1 2"])
def test_a_header_that_is_no_number_settles_nothing(said: str) -> None:
    assert found((Settlement(Counter(TOKENS, ("acme",)), "s1"),), x_tokens=said) == []


@pytest.mark.parametrize(("said", "amount"), [("0", 0), ("007", 7), (str(2**52), 2**52), (str(2**52 + 5), 2**52)])
def test_a_header_that_is_one_settles_as_much(said: str, amount: int) -> None:
    assert found((Settlement(Counter(TOKENS, ("acme",)), "s1"),), x_tokens=said)[0][2] == amount


def test_where_nothing_says_what_it_was_it_stays_reserved() -> None:
    assert found((Settlement(Counter(UNSETTLED, ("acme",)), "s1"),), x_tokens="7") == []
    assert found((Settlement(Counter(TOKENS, ("acme",)), "s1"),)) == []


@pytest.mark.parametrize(
    "text", ["", "x", "{}", "[1]", "[[]]", '[["s1"]]', '[["s1","a","b","nobody","rate",""]]', "[null]", "[" * 5_000]
)
def test_what_is_none_of_ours_settles_nothing(text: str) -> None:
    assert settlements(text, {}) == ()


METERED = replace(TOKENS, calendar=Calendar(Unit.DAY, ZoneInfo("Europe/Berlin")), on_error=OnError.LOCAL, unit="tokens")


@given(st.lists(st.text()), st.text(min_size=1), st.integers(1, 2**50), st.booleans())
def test_what_is_metered_comes_with_all_that_is_needed_to_reserve_more(
    subject: list[str], held: str, count: int, shadow: bool
) -> None:
    limit = replace(METERED, count=count, burst=count, shadow=shadow, settle="", of="")
    one = Settlement(Counter(limit, tuple(subject)), held, 60, until=7_200)
    found = reservation(spell_held([Settlement(Counter(SLOTS, ("acme",)), held), one]))
    assert found is not None
    assert (found.held, found.covered, found.until) == (held, {one.counter: 60}, 7_200)
    assert is_metered(spell_held([one]))


def test_what_no_meter_settles_is_no_reservation() -> None:
    assert reservation(spell_held([Settlement(Counter(TOKENS, ("acme",)), "s1")])) is None
    assert not is_metered(spell_held([Settlement(Counter(SLOTS, ("acme",)), "s1")]))


ODD = [
    "", "x", "{}", "[1]", '[["s1","a","b","consumer","budget",[]]]', '[["s1","a","b","consumer","budget",[1]]]',
    '[["s1","a","b","consumer","budget",[1,2,3,4,"hour","UTC",false,"whatever"]]]',
    '[["s1","a","b","consumer","budget",[1,2,3,4,"hour","Nowhere/At_all",false,"deny"]]]',
    '[["s1","a","b","consumer","budget",[1,2,0,0,"hour","UTC",false,"deny"]]]',
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_what_is_none_of_ours_is_no_reservation(text: str) -> None:
    assert reservation(text) is None


def test_a_metered_one_is_settled_by_its_end_alone_where_nothing_was_answered() -> None:
    text = spell_held([Settlement(Counter(METERED, ("acme",)), "s1", 60, until=7)])
    assert settlements(text, {"x-tokens": "7"}) == ()
    assert [one.amount for one in settlements(text, {"x-tokens": "7"}, answered=False)] == [0]
