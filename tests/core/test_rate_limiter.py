"""Each descriptor judged and charged on its own, and what becomes of the whole."""

from __future__ import annotations

import pytest

from extproc.core.errors import InvalidCall, StoreUnavailable
from extproc.core.rate_limiter import EVERYTHING, Answered, LimitCall, Modes, RateLimiter
from extproc.core.tally import Tally
from extproc.core.windows import Unit
from tests.core.trees import Limiter, Meter, NoWindows, codes, descriptor, domains, limiter, told

FILE = """
domain: d
descriptors:
  - {key: two, rate_limit: {unit: minute, requests_per_unit: 2}}
  - {key: four, rate_limit: {unit: hour, requests_per_unit: 4}}
  - {key: none, rate_limit: {unit: second, requests_per_unit: 0}}
  - {key: whole, rate_limit: {unlimited: true}}
  - {key: shadow, rate_limit: {unit: minute, requests_per_unit: 1}, shadow_mode: true}
  - {key: quota, rate_limit: {unit: minute, requests_per_unit: 1}, quota_mode: true}
  - {key: quota2, rate_limit: {unit: minute, requests_per_unit: 2}, quota_mode: true}
  - {key: most, rate_limit: {unit: year, requests_per_unit: 4294967295}}
  - {key: shared, value: "a*", share_threshold: true, rate_limit: {unit: minute, requests_per_unit: 2}}
  - {key: apart, value: "a*", rate_limit: {unit: minute, requests_per_unit: 2}}
"""
TWO, FOUR = descriptor(("two", "x")), descriptor(("four", "x"))
SHADOW, QUOTA, QUOTA2 = descriptor(("shadow", "x")), descriptor(("quota", "x")), descriptor(("quota2", "x"))


@pytest.fixture
def rules() -> Limiter:
    return limiter(FILE)


async def test_a_limit_admits_so_many_in_a_window_and_then_none_until_the_next(rules: Limiter) -> None:
    answers = [await rules.ask("d", TWO) for _ in range(4)]
    assert [told(one) for one in answers] == [[(False, 1)], [(False, 0)], [(True, 0)], [(True, 0)]]
    assert [one.over for one in answers] == [False, False, True, True]
    rules.clock.advance(answers[0].statuses[0].reset)
    assert told(await rules.ask("d", TWO)) == [(False, 1)]


async def test_the_reset_is_the_rest_of_the_calendar_window(rules: Limiter) -> None:
    rules.clock.seconds = 2222.9
    (status,) = (await rules.ask("d", TWO)).statuses
    assert status.reset == 58


async def test_every_descriptor_is_charged_also_where_another_is_over(rules: Limiter) -> None:
    answers = [await rules.ask("d", TWO, FOUR) for _ in range(5)]
    assert [told(one) for one in answers] == [
        [(False, 1), (False, 3)], [(False, 0), (False, 2)], [(True, 0), (False, 1)], [(True, 0), (False, 0)],
        [(True, 0), (True, 0)],
    ]  # fmt: skip


async def test_twenty_a_minute_and_ten_an_hour_are_each_exact() -> None:
    rules = limiter("""
domain: d
descriptors:
  - {key: key2, rate_limit: {unit: minute, requests_per_unit: 20}}
  - {key: key3, rate_limit: {unit: hour, requests_per_unit: 10}}
""")
    alone = [told(await rules.ask("d", descriptor(("key2", "alone")))) for _ in range(25)]
    assert alone == [*([(False, left)] for left in range(19, -1, -1)), *[[(True, 0)]] * 5]
    both = [await rules.ask("d", descriptor(("key2", "x")), descriptor(("key3", "x"))) for _ in range(15)]
    assert codes(both) == [False] * 10 + [True] * 5
    assert [status.over for one in both[10:] for status in one.statuses] == [False, True] * 5


async def test_values_are_counted_apart_and_a_shared_pattern_together(rules: Limiter) -> None:
    for value in ("a1", "a2", "a3"):
        await rules.ask("d", descriptor(("apart", value)), descriptor(("shared", value)))
    apart, shared = (await rules.ask("d", descriptor(("apart", "a4")), descriptor(("shared", "a4")))).statuses
    assert (apart.over, apart.remaining, shared.over) == (False, 1, True)


async def test_no_limit_is_ok_and_says_that_nothing_is_left_of_it(rules: Limiter) -> None:
    answered = await rules.ask("d", descriptor(("nobody", "x")), descriptor(("whole", "x")), descriptor())
    assert told(answered) == [(False, 0), (False, EVERYTHING), (False, 0)]
    assert [status.limit for status in answered.statuses] == [None, None, None]
    assert not answered.over


async def test_who_is_limited_by_nothing_is_counted_nowhere(rules: Limiter) -> None:
    store = NoWindows()
    nobody = RateLimiter(lambda: rules.domains, store, Meter(), Modes())
    await nobody.answer(LimitCall("d", (descriptor(("nobody", "x")), descriptor(("whole", "x")))))
    await nobody.answer(LimitCall("other", (TWO,)))
    assert store.asked == []


async def test_a_limit_of_nothing_is_always_over(rules: Limiter) -> None:
    assert told(await rules.ask("d", descriptor(("none", "x")))) == [(True, 0)]


@pytest.mark.parametrize(
    ("own", "whole", "counted"), [(None, 0, 1), (None, 1, 1), (None, 3, 3), (2, 3, 2), (0, 3, 0), (5, 0, 5)]
)
async def test_the_hits_are_the_descriptors_else_the_calls_else_one(
    rules: Limiter, own: int | None, whole: int, counted: int
) -> None:
    await rules.ask("d", descriptor(("most", "x"), hits=own), hits=whole)
    (status,) = (await rules.ask("d", descriptor(("most", "x"), hits=0))).statuses
    assert status.remaining == 2**32 - 1 - counted


@pytest.mark.parametrize("hits", [2**32 - 1, 2**32, 2**63, 2**64 - 1])
async def test_no_number_of_hits_overflows(rules: Limiter, hits: int) -> None:
    first = await rules.ask("d", descriptor(("most", "x"), hits=hits))
    assert told(first) == [(hits > 2**32 - 1, 0)]
    for _ in range(3):
        assert told(await rules.ask("d", descriptor(("most", "x"), hits=hits))) == [(True, 0)]
    assert rules.meter.told["d.most"].total == 4 * hits


async def test_looking_counts_nothing_and_says_what_is_left(rules: Limiter) -> None:
    look = descriptor(("two", "x"), hits=0)
    assert [told(await rules.ask("d", look)) for _ in range(5)] == [[(False, 2)]] * 5
    await rules.ask("d", TWO, hits=2)
    assert told(await rules.ask("d", look)) == [(False, 0)]  # used up is not over
    await rules.ask("d", TWO)
    assert told(await rules.ask("d", look)) == [(True, 0)]
    assert told(await rules.ask("d", descriptor(("none", "x"), hits=0))) == [(False, 0)]


async def test_hits_that_are_given_back_are_counted_no_more_and_never_below_nothing(rules: Limiter) -> None:
    await rules.ask("d", FOUR, hits=3)
    back = descriptor(("four", "x"), hits=2, gives_back=True)
    assert told(await rules.ask("d", back)) == [(False, 3)]
    assert told(await rules.ask("d", back)) == [(False, 4)]
    assert told(await rules.ask("d", FOUR)) == [(False, 3)]
    assert rules.meter.told["d.four"] == Tally(4, within=4)


async def test_a_counter_that_one_call_names_twice_is_charged_twice_in_turn(rules: Limiter) -> None:
    assert told(await rules.ask("d", TWO, TWO, TWO)) == [(False, 1), (False, 0), (True, 0)]


async def test_a_limit_in_shadow_mode_is_counted_and_refuses_nobody(rules: Limiter) -> None:
    answers = [await rules.ask("d", SHADOW) for _ in range(3)]
    assert [told(one) for one in answers] == [[(False, 0)]] * 3
    assert codes(answers) == [False] * 3
    assert rules.meter.told["d.shadow"] == Tally(3, within=1, near=1, over=2, shadowed=2)


async def test_with_the_shadow_mode_on_no_call_is_over_and_each_status_says_what_is() -> None:
    rules = limiter(FILE, shadow=True)
    answers = [await rules.ask("d", TWO) for _ in range(4)]
    assert codes(answers) == [False] * 4
    assert [told(one) for one in answers[2:]] == [[(True, 0)]] * 2
    assert rules.meter.shadows == 2


async def test_quotas_refuse_when_all_of_them_are_over(rules: Limiter) -> None:
    answers = [await rules.ask("d", QUOTA, QUOTA2, FOUR) for _ in range(3)]
    assert codes(answers) == [False, False, True]
    assert [status.over for status in answers[1].statuses] == [True, False, False]


async def test_a_limit_that_is_no_quota_refuses_whatever_quotas_say(rules: Limiter) -> None:
    assert (await rules.ask("d", QUOTA, descriptor(("none", "x")))).over


async def test_with_the_quota_mode_on_every_limit_is_a_quota() -> None:
    rules = limiter(FILE, quota=True)
    assert not (await rules.ask("d", descriptor(("none", "x")), TWO)).over
    assert (await rules.ask("d", descriptor(("none", "x")))).over
    # What has no limit passes, and so not all are over; what is unlimited does not count.
    assert not (await rules.ask("d", descriptor(("none", "x")), descriptor(("nobody", "x")))).over
    assert (await rules.ask("d", descriptor(("none", "x")), descriptor(("whole", "x")))).over


async def test_a_limit_that_is_replaced_is_neither_judged_nor_charged() -> None:
    rules = limiter("""
domain: d
descriptors:
  - {key: user, rate_limit: {unit: minute, requests_per_unit: 1, name: base}}
  - {key: vip, rate_limit: {unit: minute, requests_per_unit: 3, replaces: [{name: base}, {name: nobody}]}}
  - {key: free, rate_limit: {unlimited: true, replaces: [{name: base}]}}
  - {key: whole, rate_limit: {unlimited: true, name: base}}
""")
    user, vip = descriptor(("user", "x")), descriptor(("vip", "x"))
    for _ in range(2):
        replaced, replacing = (await rules.ask("d", user, vip)).statuses
        assert (replaced.limit, replaced.over, replaced.remaining) == (None, False, 0)
        assert replacing.limit is not None
    assert told(await rules.ask("d", descriptor(("free", "x")), user)) == [(False, EVERYTHING), (False, 0)]
    assert told(await rules.ask("d", vip, descriptor(("whole", "x")))) == [(False, 0), (False, EVERYTHING)]
    assert told(await rules.ask("d", user)) == [(False, 0)]
    assert told(await rules.ask("d", user)) == [(True, 0)]


async def test_a_limit_that_a_call_brings_along_takes_the_place_of_the_files(rules: Limiter) -> None:
    own = descriptor(("two", "x"), limit=(10, Unit.MINUTE))
    assert told(await rules.ask("d", own)) == [(False, 9)]
    assert told(await rules.ask("d", TWO)) == [(False, 0)]  # the same counter, by another limit
    assert told(await rules.ask("d", descriptor(("two", "x"), limit=(10, Unit.HOUR)))) == [(False, 9)]
    assert told(await rules.ask("d", descriptor(("nobody", ""), limit=(0, Unit.DAY)))) == [(True, 0)]
    assert set(rules.meter.told) == {"d.two_x", "d.two", "d.nobody"}


async def test_a_limit_for_a_domain_that_nobody_knows_is_none_and_is_counted(rules: Limiter) -> None:
    answered = await rules.ask("other", descriptor(("two", "x"), limit=(0, Unit.DAY)), TWO)
    assert told(answered) == [(False, 0), (False, 0)]
    assert not answered.over
    assert rules.meter.unknown == ["other", "other"]
    assert len(rules.store) == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (LimitCall("", (TWO,)), "rate limit domain must not be empty"),
        (LimitCall("d", ()), "rate limit descriptor list must not be empty"),
        (LimitCall("d", (descriptor(("two", "x"), limit=(5, None)),)), "a limit override without a unit"),
        (LimitCall("d", (TWO,) * 1_001), "rate limit descriptor list must not be longer than 1000"),
    ],
)
async def test_what_no_limit_can_answer_is_said_in_words(rules: Limiter, call: LimitCall, said: str) -> None:
    with pytest.raises(InvalidCall, match=said):
        await rules.rules.answer(call)


async def test_without_any_files_there_is_no_answer() -> None:
    with pytest.raises(InvalidCall, match="no rate limit configuration loaded"):
        await Limiter(None).ask("d", TWO)


async def test_a_store_that_does_not_answer_is_no_verdict(rules: Limiter) -> None:
    with pytest.raises(StoreUnavailable):
        await RateLimiter(lambda: rules.domains, NoWindows(), Meter(), Modes()).answer(LimitCall("d", (TWO,)))


async def test_keys_and_values_that_join_to_the_same_text_are_counted_apart() -> None:
    rules = limiter("""
domain: d
descriptors:
  - {key: a, rate_limit: {unit: minute, requests_per_unit: 1}}
  - {key: a_b, rate_limit: {unit: minute, requests_per_unit: 1}}
""")
    values = ["b_c", "b|c", "b:c", "b\nc", "x" * 10_240, "x" * 10_241]
    asked = [descriptor(("a_b", "c")), *(descriptor(("a", value)) for value in values)]
    assert [told(await rules.ask("d", one)) for one in asked] == [[(False, 0)]] * len(asked)
    assert [told(await rules.ask("d", one)) for one in asked] == [[(True, 0)]] * len(asked)


async def test_a_reload_keeps_what_was_counted(rules: Limiter) -> None:
    await rules.ask("d", TWO)
    rules.domains = domains(FILE.replace("requests_per_unit: 2}", "requests_per_unit: 5}"))
    assert told(await rules.ask("d", TWO)) == [(False, 3)]


def tightest(answered: Answered) -> tuple[str, int] | None:
    status = answered.tightest
    return (status.limit.path, status.remaining) if status is not None and status.limit is not None else None


async def test_the_tightest_status_is_the_last_that_refuses_else_the_one_with_least_left(rules: Limiter) -> None:
    most, nobody = descriptor(("most", "x")), descriptor(("nobody", "x"))
    assert tightest(await rules.ask("d", nobody, descriptor(("whole", "x")))) is None
    assert tightest(await rules.ask("d", most, FOUR, TWO, nobody)) == ("d.two", 1)
    await rules.ask("d", TWO, FOUR, hits=9)
    assert tightest(await rules.ask("d", TWO, FOUR, most)) == ("d.four", 0)


async def test_only_the_metadata_of_limits_that_let_it_pass_is_told() -> None:
    rules = limiter("""
domain: d
descriptors:
  - {key: a, rate_limit: {unit: minute, requests_per_unit: 1}, metadata: {from: a}, quota_mode: true}
  - {key: b, rate_limit: {unit: minute, requests_per_unit: 2}, metadata: {from: b}, quota_mode: true}
""")
    both = (descriptor(("a", "x")), descriptor(("b", "x")))
    assert (await rules.ask("d", *both)).metadata == ({"from": "a"}, {"from": "b"})
    assert (await rules.ask("d", *both)).metadata == ({"from": "b"},)
