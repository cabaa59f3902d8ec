"""Sums of what was used: bounded, and nothing counted is lost."""

from __future__ import annotations

from extproc.core.usage import LONGEST, MOST, OTHERS, Gathering, Group, Usage, Used, summed, total

HOUR = 1_790_000_400 - 1_790_000_400 % 3_600


def used(consumer: str = "acme", route: str = "orders", status: str = "2xx", hour: int = HOUR) -> Used:
    return Used(hour, consumer, "free", route, status)


def test_requests_of_one_hour_consumer_route_and_class_are_one_sum() -> None:
    gathering = Gathering()
    for bytes_in in (1, 2):
        gathering.add(used(), Usage(1, bytes_in, 10, 5))
    gathering.add(used(status="4xx"), Usage())
    gathering.add(used(hour=HOUR + 3_600), Usage())
    assert gathering.take() == {
        used(): Usage(2, 3, 20, 10), used(status="4xx"): Usage(), used(hour=HOUR + 3_600): Usage(),
    }  # fmt: skip
    assert gathering.take() == {}


def test_what_could_not_be_saved_is_added_again() -> None:
    gathering = Gathering()
    gathering.add(used(), Usage(2))
    taken = gathering.take()
    gathering.add(used(), Usage(3))
    gathering.give_back(taken)
    assert gathering.take() == {used(): Usage(5)}


def test_a_crowd_of_names_is_told_together_and_costs_no_memory() -> None:
    gathering = Gathering(most=100)
    for number in range(1_000):
        gathering.add(used(f"somebody-{number}"), Usage(1, 7))
    gathering.add(used("somebody-5"), Usage(1, 7))
    sums = gathering.take()
    assert len(sums) == 101
    assert sums[used(OTHERS)._replace(tier="")] == Usage(900, 6_300)
    assert sums[used("somebody-5")] == Usage(2, 14)
    for number in range(1_000):  # also where they are saved in between
        gathering.add(used(f"later-{number}"), Usage())
        assert len(gathering.take()) == 1
    assert MOST == 10_000


def test_in_a_new_hour_names_have_room_again() -> None:
    gathering = Gathering(most=1)
    gathering.add(used("a"), Usage())
    gathering.add(used("b"), Usage())
    gathering.take()
    gathering.add(used("b", hour=HOUR + 3_600), Usage())
    assert list(gathering.take()) == [used("b", hour=HOUR + 3_600)]


def test_names_are_bounded() -> None:
    gathering = Gathering()
    gathering.add(Used(HOUR, "c" * 9_999, "t" * 9_999, "r" * 9_999, "2xx"), Usage())
    assert [len(text) for text in next(iter(gathering.take()))[1:4]] == [LONGEST] * 3


def test_sums_are_told_by_consumer_and_by_route() -> None:
    sums = {used(): Usage(1, 2), used(route="users"): Usage(3, 4), used("bolt", status="5xx"): Usage(5, 6)}
    assert summed(sums, by_route=False) == {
        Group("acme", "free"): {"2xx": Usage(4, 6)}, Group("bolt", "free"): {"5xx": Usage(5, 6)},
    }  # fmt: skip
    by_route = [group.route for group in summed(sums, by_route=True, consumer="acme")]
    assert by_route == ["orders", "users"]
    assert total(sums.values()) == Usage(9, 12)


def test_by_model_versions_are_told_apart() -> None:
    versions = {used()._replace(model="chat", version=name): Usage(n) for n, name in enumerate(("v1", "v2"), 1)}
    assert summed({**versions, used(): Usage(4)}, by_route=False, by_model=True) == {
        Group("acme", "free"): {"2xx": Usage(4)},
        Group("acme", "free", "", "chat", "v1"): {"2xx": Usage(1)},
        Group("acme", "free", "", "chat", "v2"): {"2xx": Usage(2)},
    }
    assert summed({**versions, used(): Usage(4)}, by_route=False) == {Group("acme", "free"): {"2xx": Usage(7)}}
