"""What a plan says of filters is what the bootstrap makes them do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from extproc.bootstrap.filters import met_by
from tests.golden.conftest import bootstrap_of, plan_of

HTTP: Final = "envoy.filters.http."
Acts = Callable[[dict[str, Any], dict[str, Any]], bool]
# Of each filter: does it do anything, by a route and by what the route says of it?
ACTING: Final[dict[str, Acts]] = {
    f"{HTTP}header_mutation": lambda route, own: True,
    f"{HTTP}buffer": lambda route, own: not own.get("disabled"),
    f"{HTTP}rbac": lambda route, own: "rbac" in own,
    f"{HTTP}ext_authz": lambda route, own: not own.get("disabled"),
    f"{HTTP}ratelimit": lambda route, own: bool(route.get("route", {}).get("rate_limits")),
    f"{HTTP}ext_proc": lambda route, own: bool(own),  # off until a route has a say
    f"{HTTP}router": lambda route, own: True,
}


def test_a_filter_is_said_to_act_exactly_where_it_does(case: Path) -> None:
    plan = plan_of(case)
    listener = bootstrap_of(case)["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    configured = {route["name"]: route for host in manager["route_config"]["virtual_hosts"] for route in host["routes"]}
    present = [item["name"] for item in manager["http_filters"]]
    for route in plan.routes:
        written = configured[route.name]
        said = written["typed_per_filter_config"]
        acting = [name for name in present if ACTING[name](written, said.get(name, {}))]
        assert [row.name for row in met_by(plan, route)] == acting, route.name
