"""Plans of small gateway files. Every route of one is written as `NAME: keys`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from extproc.app.project import read_project
from extproc.core.specs import LIMIT, LimitSpec
from extproc.plan.model import Plan, RoutePlan

HEAD: Final = """\
listeners: [{name: public, address: "0.0.0.0:8080"}]
upstreams:
  users: {endpoints: ["127.0.0.1:9101"]}
  orders: {endpoints: ["orders.internal:9102"]}
authentication:
  partners: {api_key: {}}
tiers:
  free: {rate: 10/s}
  premium: {rate: 100/minute, burst: 200}
models:
  recommend: {sticky: none, versions: {v1: {upstream: users, weight: 90}, v2: {upstream: orders, weight: 10}}}
"""
HEADERS: Final = "{use: transform, response: {headers: {x-edited: route.name}}}"
BODY: Final = "{use: transform, response: {json: {set: {served_by: route.name}}}}"


def plan_of(*routes: str, defaults: str = "", file: Path = Path("gateway.yaml"), head: str = HEAD) -> Plan:
    text = head + (f"defaults: {{{defaults}}}\n" if defaults else "") + "routes:\n"
    for number, route in enumerate(routes):
        match = "" if "match:" in route else f"match: {{path: /{number}}}, "
        text += f"  - {{name: route-{number}, {match}{route}}}\n"
    return read_project(file, {}, text).plan


def route_of(route: str, defaults: str = "") -> RoutePlan:
    return plan_of(route, defaults=defaults).routes[0]


def limits_of(route: RoutePlan) -> LimitSpec | None:
    found = [spec.settings for spec in route.policies if spec.kind == LIMIT]
    assert len(found) <= 1
    return found[0] if found and isinstance(found[0], LimitSpec) else None
