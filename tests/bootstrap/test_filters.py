"""The filter table: its order, and that each row says why it stands there."""

from __future__ import annotations

from extproc.bootstrap.filters import ORDER

EXPECTED = ["header_mutation", "buffer", "rbac", "ext_authz", "rate_limit_quota", "ratelimit", "ext_proc", "router"]


def test_the_filters_run_in_this_order() -> None:
    assert [row.name.rpartition(".")[2] for row in ORDER] == EXPECTED


def test_every_row_gives_its_reason() -> None:
    assert all(len(row.why) > 20 for row in ORDER)


def test_only_the_filter_that_edits_is_off_until_a_route_asks() -> None:
    """A check that is off until asked for would be open where it is forgotten."""
    assert [row.name.rpartition(".")[2] for row in ORDER if row.disabled] == ["ext_proc"]
