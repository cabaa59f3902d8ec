"""A log that was really written, judged again: unchanged it gives what it says, changed what would have been."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from extproc.app.project import Project, read_project
from extproc.app.replaying import Named, Replay
from extproc.app.simulate import DISORDER, Simulation, simulate
from extproc.config.changes import parse_change
from extproc.core.decision import LocalReply
from extproc.core.limits import Judged
from extproc.core.message import Consumer, Request
from extproc.core.outcome import Merged, Step
from extproc.core.policy import Context
from extproc.core.ports import Ports
from extproc.core.specs import LimitSpec
from extproc.policies.limit import LimitPolicy
from extproc.services.records import record_of
from extproc.stores.memory import MemoryCounters
from extproc.telemetry import JsonRecorder
from extproc.telemetry.records import Line
from extproc.telemetry.traffic import Asked, read_traffic
from extproc.testing import FakeClock, fake_ports

HEAD = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
upstreams: {main: {endpoints: ["127.0.0.1:9101"]}}
authentication: {partners: {api_key: {}}, guests: {anonymous: {tier: guest}}}
sidecar: {stores: {keys: "file:keys.yaml"%s}}
tiers:
  free: {rate: 5/s, burst: 7, quota: 60/minute}
  guest: {sliding: 20/minute}
  paid: {rate: 50/s, tokens: 300/minute, reserve: 'size(request.path)'}
consumers: {vip: {rate: 40/s}}
defaults: {authenticate: [partners, guests]}
routes:
  - {name: tiered, match: {path_prefix: /tiered}, upstream: main, limits: [tier, {per: address, rate: 30/s}]}
  - name: keyed
    match: {path_prefix: /keyed}
    upstream: main
    limits: [tier, {per: 'cel:request.host', quota: 40/minute}]
  - {name: shadow, match: {path_prefix: /shadow}, upstream: main, limits: [{per: route, rate: 1/s, shadow: true}]}
  - {name: unlimited, match: {path_prefix: /unlimited}, upstream: main, limits: []}
"""
FILE = HEAD % ""
PEOPLE = (
    Consumer("acme", "free"), Consumer("bolt", "free"), Consumer("vip", "free"), Consumer("rich", "paid"),
    Consumer("anonymous", "guest", anonymous=True),
)  # fmt: skip


def project(folder: Path, text: str, *changes: str) -> Project:
    file = folder / "gateway.yaml"
    return read_project(file, {}, text, [parse_change(change) for change in changes])


class Run:
    """A sidecar's limits at work, and the log that it writes."""

    def __init__(self, project: Project) -> None:
        self.clock = FakeClock()
        self.lines: list[Line] = []
        self.recorder = JsonRecorder(self.clock, self.lines.append)
        self.project = project
        self.counters = MemoryCounters(self.clock)
        self.start()

    def start(self) -> None:
        ports = fake_ports(clock=self.clock, counters=self.counters)
        self.policies = {route.name: limits(self.project, route.name, ports) for route in self.project.plan.routes}
        self.recorder.event("ready", revision="x", routes=1)

    async def ask(self, route: str, who: Consumer, number: int, *, address: str = "192.0.2.7", host: str = "a") -> bool:
        request = Request(
            "GET", f"/{route}/{number % 7}", host, address=address, id=f"id-{number}", stream=f"s-{number}"
        )
        merged = Merged(who)
        decision = await self.policies[route].on_request(request, Context(route, who))
        merged.add(decision)
        merged.steps.append(Step("limit", decision, 1_000))
        self.recorder.record(record_of("ext_authz", route, request, merged.outcome(), 5_000, ""))
        return not isinstance(decision, LocalReply)

    def log(self) -> list[str]:
        return [line() for line in self.lines]


def limits(project: Project, name: str, ports: Ports) -> LimitPolicy:
    route = next(route for route in project.plan.routes if route.name == name)
    specs = [spec.settings for spec in route.policies if isinstance(spec.settings, LimitSpec)]
    policy = LimitPolicy.build(specs[0] if specs else LimitSpec({}, by_tier=False, own=()), ports)
    assert isinstance(policy, LimitPolicy)
    return policy


def crowd(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a game, not a secret


async def simulated(before: Project, after: Project, log: Sequence[str]) -> Simulation:
    lines = io.BytesIO("".join(log).encode())
    return await simulate(Replay(before), Replay(after), read_traffic(lines))


async def traffic(run: Run, chance: random.Random, requests: int, first: int = 0) -> Counter[str]:
    """Who was refused how often, by a crowd that asks about thrice what it may."""
    refused: Counter[str] = Counter()
    for number in range(first, first + requests):
        run.clock.advance(chance.expovariate(20))
        who = chance.choice(PEOPLE)
        route = chance.choice(["tiered", "tiered", "keyed", "shadow", "unlimited"])
        address = chance.choice(["192.0.2.1", "2001:db8::1"])
        refused[who.id] += not await run.ask(route, who, number, address=address, host=chance.choice(["a", "b"]))
    return refused


def refusals(found: Simulation) -> Counter[str]:
    counted: Counter[str] = Counter()
    for row in found.rows:
        counted[row.consumer] += row.refused_before
    return +counted


@pytest.mark.parametrize("seed", range(8))
async def test_an_unchanged_file_refuses_exactly_what_the_log_says(seed: int, tmp_path: Path) -> None:
    run, chance = Run(project(tmp_path, FILE)), crowd(seed)
    refused = await traffic(run, chance, 1_500)
    log = run.log()
    at = [index for index in range(len(log)) if chance.random() < 0.2]
    for index in at:  # records are written when calls end, which is in another order
        other = min(index + chance.randrange(30), len(log) - 1)
        log[index], log[other] = log[other], log[index]
    log = [line for line in log if '"ready"' not in line]
    found = await simulated(run.project, run.project, log)
    assert refusals(found) == +refused
    assert sum(refused.values()) > 100
    assert [row.refused_after for row in found.rows] == [row.refused_before for row in found.rows]
    assert (found.told.refused_in_log, found.told.late, found.told.undecided) == (sum(refused.values()), 0, 0)


@pytest.mark.parametrize("seed", range(8))
async def test_a_changed_file_refuses_exactly_what_it_would_have_refused(seed: int, tmp_path: Path) -> None:
    changes = (
        "tiers.free.rate=2/s",
        "tiers.guest.sliding=5/minute",
        "consumers.vip.rate=1/s",
        "tiers.paid.tokens=100/minute",
    )
    changed = project(tmp_path, FILE, *changes)
    run, other = Run(project(tmp_path, FILE)), Run(changed)
    await traffic(run, crowd(seed), 800)
    refused = await traffic(other, crowd(seed), 800)
    found = await simulated(run.project, changed, run.log())
    after: Counter[str] = Counter()
    for row in found.rows:
        after[row.consumer] += row.refused_after
    assert +after == +refused


async def test_a_sidecar_that_starts_again_has_new_rates_and_the_quotas_that_it_kept(tmp_path: Path) -> None:
    for kept in ("", ', quotas: "file:q.sqlite"'):
        run = Run(project(tmp_path, HEAD % kept))
        chance, refused = crowd(7), Counter[str]()
        for start in range(4):
            refused += await traffic(run, chance, 200, start * 200)
            used = run.counters.used()
            run.counters = MemoryCounters(run.clock)
            if kept:
                run.counters.restore(used)
            run.start()
        found = await simulated(run.project, run.project, run.log())
        assert refusals(found) == +refused


async def test_a_retry_of_one_request_is_counted_once(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    for number in (1, 1, 2, 2, 3):
        await run.ask("tiered", PEOPLE[0], number)
    found = await simulated(run.project, project(tmp_path, FILE, "tiers.free.burst=3"), run.log())
    assert [row.refused_after for row in found.rows] == [0, 0, 0]


async def test_rows_say_whom_which_limit_refuses_and_since_when(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    for number in range(6):
        await run.ask("tiered", PEOPLE[number % 2], number)
        run.clock.advance(0.001)
    found = await simulated(run.project, project(tmp_path, FILE, "tiers.free.burst=2"), run.log())
    first = found.rows[0]
    assert (first.consumer, first.limit) == ("acme", Named("tier/free", "tier"))
    assert (first.requests, first.refused_before, first.refused_after, first.first_before) == (3, 0, 1, 0.0)
    assert first.first_after == pytest.approx(1_790_000_000.004)
    assert {row.limit.name for row in found.rows} == {"tier", "tier-quota", "address-1"}


async def test_a_tier_that_the_change_takes_away_refuses_its_consumers(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    await run.ask("tiered", PEOPLE[3], 1)
    found = await simulated(
        run.project, project(tmp_path, FILE, "tiers={free: {rate: 1/s}, guest: {rate: 1/s}}"), run.log()
    )
    assert (found.rows[0].limit, found.rows[0].refused_after) == (Named("", "unknown_tier"), 1)


LEFT_OUT = [
    ("{per: consumer, concurrency: 2}", "when a request ended"),
    ("{per: consumer, tokens: 9/minute, settle: x-tokens}", "how much was settled"),
    ("{per: 'header:x-org', rate: 1/s}", "no headers"),
    ("{per: 'claim:org', rate: 1/s}", "no claims"),
    ("{per: consumer, rate: 9/s, cost: 'size(request.query)'}", "what its expression reads"),
    ("{per: 'cel:consumer.method', rate: 9/s}", "what its expression reads"),
]


@pytest.mark.parametrize(("limit", "why"), LEFT_OUT)
async def test_what_records_do_not_hold_is_left_out_and_said(limit: str, why: str, tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    await run.ask("unlimited", PEOPLE[0], 1)
    found = await simulated(run.project, project(tmp_path, FILE, f"routes.unlimited.limits=[{limit}]"), run.log())
    assert len(found.left_out) == 1
    assert why in found.left_out[0].why
    assert found.rows == []


async def test_what_was_refused_by_a_limit_that_is_left_out_stays_refused_and_charges_nothing(tmp_path: Path) -> None:
    slots = "routes.unlimited.limits=[{per: route, concurrency: 1}, {per: route, quota: 2/hour}]"
    run = Run(project(tmp_path, FILE, slots))
    answers = [await run.ask("unlimited", PEOPLE[0], number) for number in range(3)]
    assert answers == [True, False, False]
    found = await simulated(run.project, run.project, run.log())
    assert {(row.limit.name, row.requests, row.refused_before, row.refused_after) for row in found.rows} == {
        ("route-0", 2, 2, 2), ("route-1", 1, 0, 0),
    }  # fmt: skip


async def test_what_never_came_to_a_limit_is_not_judged(tmp_path: Path) -> None:
    record = {
        "event": "decision", "time": 1_790_000_000.0, "service": "ext_authz", "result": "deny", "reason": "none",
        "route": "tiered", "policy": "authenticate", "steps": [{"policy": "authenticate", "us": 3}],
    }  # fmt: skip
    failed = {**record, "result": "error", "policy": "limit", "steps": [{"policy": "limit", "us": 3}]}
    same = project(tmp_path, FILE)
    found = await simulated(same, same, [json.dumps(one) + "\n" for one in (record, failed)])
    assert (found.told.requests, found.told.judged, found.rows) == (2, 0, [])


ALLOWED = '{"event":"decision","service":"ext_authz","result":"allow","reason":"allowed","time":1'
BROKEN = [
    "{", "[]", "nul", "7", "\x00", "[" * 5_000, "x" * 200_000, '{"event": 1}', '{"event": "decision"}',
    ALLOWED.replace("allow", "maybe") + "}", ALLOWED + "e400}", ALLOWED + ',"consumer":7}', ALLOWED + ',"steps":[7]}',
    ALLOWED + ',"judged":{"monotonic_ns":-1,"time":1}}', ALLOWED + ',"judged":7}', ALLOWED + ',"facts":7}',
]  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
async def test_a_line_that_is_no_record_is_counted_and_the_rest_is_read(line: str, tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    await run.ask("tiered", PEOPLE[0], 1)
    found = await simulated(
        run.project, run.project, [line + "\n", *run.log(), '{"event": "stopping", "time": 1}\n', "\n"]
    )
    assert (found.told.unreadable, found.told.requests) == (1, 1)


async def test_records_without_the_time_of_judgement_are_judged_at_their_own(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    for number in range(20):
        await run.ask("tiered", PEOPLE[0], number)
    log = []
    for line in run.log():
        record = json.loads(line)
        record.pop("judged", None)
        log.append(json.dumps(record) + "\n")
    found = await simulated(run.project, run.project, log)
    assert (found.told.inexact, found.told.refused_before) == (20, 13)


async def test_a_record_that_is_too_late_is_judged_at_the_time_of_the_one_before_it_and_told(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    for number in range(DISORDER + 5):
        run.clock.advance(0.001)
        await run.ask("unlimited", PEOPLE[0], number)
    log = [line for line in run.log() if '"decision"' in line]
    found = await simulated(run.project, run.project, [*log[1:], log[0]])
    assert (found.told.late, found.told.requests) == (1, DISORDER + 5)


async def test_logs_of_two_machines_stand_beside_each_other_by_the_time_of_day(tmp_path: Path) -> None:
    """Their clocks that never step back began at different times."""
    run, other = Run(project(tmp_path, FILE)), Run(project(tmp_path, FILE))
    other.clock.ticks += 3_600_000_000_000
    for number in range(7):
        await run.ask("tiered", PEOPLE[0], number)
        await other.ask("tiered", PEOPLE[0], 100 + number)
    lines = [line for pair in zip(run.log()[1:], other.log()[1:], strict=True) for line in pair]
    found = await simulated(run.project, run.project, lines)
    assert found.told.refused_before == 7


async def test_a_route_that_the_file_does_not_have_is_told(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    await run.ask("tiered", PEOPLE[0], 1)
    log = [line.replace('"tiered"', '"gone"') for line in run.log()]
    found = await simulated(run.project, run.project, log)
    assert (found.told.elsewhere, found.told.judged) == (1, 0)


async def test_reading_gives_back_what_was_recorded(tmp_path: Path) -> None:
    run = Run(project(tmp_path, FILE))
    run.clock.advance(0.123456789)
    await run.ask("tiered", PEOPLE[0], 1)
    (asked,) = [one for one in read_traffic(io.BytesIO("".join(run.log()).encode())) if isinstance(one, Asked)]
    assert (asked.route, asked.consumer, asked.tier, asked.address, asked.id) == (
        "tiered",
        "acme",
        "free",
        "192.0.2.7",
        "id-1",
    )
    assert asked.at == Judged(run.clock.monotonic(), run.clock.now())
    assert asked.exact
    assert asked.reached
