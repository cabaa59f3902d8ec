"""`python -m tests.bench.models`: what choosing a version costs, and what a shadow adds to requests.

The choice is measured in microseconds of processor time, the shadow through the real Envoy: requests to a model without
one and to one with it in turn, over one connection, so that what disturbs one disturbs the other. The ratio counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from extproc.app.project import read_project
from extproc.bootstrap.build import build_bootstrap
from extproc.bootstrap.render import render
from extproc.core import api_key
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.models import Cohort, Pin
from extproc.core.policy import Context, Policy
from extproc.core.specs import ChooseSpec, ModelsSpec, Version
from extproc.policies.choose import Choose
from extproc.testing import fake_ports
from tests.bench.cases import HEADERS, KEY, upstream_bootstrap
from tests.bench.processes import Processes
from tests.free_ports import free_port

ROUNDS: Final = 15
TIMES: Final = 10_000
REQUESTS: Final = 4_000
WARM: Final = 200
VERSIONS: Final = (Version("v1", "one", 9_000), Version("v2", "two", 1_000))
CALLER: Final = Context("recommend", Consumer("acme", "premium", ("orders:read",)))
PLAIN: Final = Request("GET", "/recommend", "shop", headers=Headers.of(HEADERS), address="192.0.2.7", stream="s")
GATEWAY: Final = """\
listeners: [{{name: public, address: "127.0.0.1:{port}"}}]
envoy: {{admin: "127.0.0.1:{admin}", concurrency: 1}}
sidecar:
  address: unix:{folder}/run
  admin: 127.0.0.1:{sidecar_admin}
  timeout: 5s
  stores: {{keys: file:keys.yaml}}
upstreams:
  v1: {{endpoints: ["{upstream}"]}}
  v2: {{endpoints: ["{upstream}"]}}
authentication: {{partners: {{api_key: {{}}}}}}
models:
  alone: {{versions: {{v1: {{upstream: v1, weight: 100}}, v2: {{upstream: v2, weight: 0}}}}}}
  shadowed:
    versions: {{v1: {{upstream: v1, weight: 100}}, v2: {{upstream: v2, weight: 0}}}}
    shadow: {{version: v2, percent: {percent}}}
defaults: {{authenticate: partners}}
routes:
  - {{name: alone, match: {{path: /alone}}, model: alone}}
  - {{name: shadowed, match: {{path: /shadowed}}, model: shadowed}}
"""


def policy(spec: ChooseSpec) -> Policy:
    return Choose.build(ModelsSpec((spec,)), fake_ports())


def choices(times: int) -> dict[str, float]:
    """Microseconds for one decision, by what decides: `drawn` is a caller's first, `remembered` each later one."""
    spec = ChooseSpec("recommend", VERSIONS, "consumer")
    four = tuple(Version(f"v{number}", "one", 2_500) for number in range(4))
    pinned = replace(PLAIN, headers=Headers.of({**HEADERS, "x-model-version": "v2"}))
    visiting = replace(PLAIN, headers=Headers.of({**HEADERS, "cookie": "theme=dark; visit=0123456789abcdef"}))
    rules = (Cohort('consumer.tier == "staff"', "v2"), Cohort('consumer.tier == "premium"', "v2"))
    cases: dict[str, tuple[ChooseSpec, Callable[[int], tuple[Request, Context]]]] = {
        "remembered": (spec, lambda number: (PLAIN, CALLER)),
        "drawn": (spec, lambda number: (PLAIN, _caller(number))),
        "drawn_of_four": (replace(spec, versions=four), lambda number: (PLAIN, _caller(number))),
        "chance": (replace(spec, sticky="none"), lambda number: (PLAIN, CALLER)),
        "cookie": (replace(spec, sticky="cookie:visit"), lambda number: (visiting, CALLER)),
        "pin": (replace(spec, pin=Pin("x-model-version", ("premium",))), lambda number: (pinned, CALLER)),
        "rule": (replace(spec, rules=rules), lambda number: (PLAIN, CALLER)),
    }
    return {f"choice_{name}_us": _best(policy(chosen), times, asked) for name, (chosen, asked) in cases.items()}


def _caller(number: int) -> Context:
    return Context("recommend", Consumer(f"caller-{number}", "premium"))


def _best(chosen: Policy, times: int, asked: Callable[[int], tuple[Request, Context]]) -> float:
    """Of several rounds, each with callers of its own. Making a question is no part of its answer."""
    best = float("inf")
    for place in range(ROUNDS):
        questions = [asked(place * times + number) for number in range(times)]
        gc.collect()
        best = min(best, asyncio.run(_answered(chosen, questions)))
    return best / times


async def _answered(chosen: Policy, questions: Sequence[tuple[Request, Context]]) -> float:
    started = time.process_time()
    for request, context in questions:
        await chosen.on_request(request, context)
    return (time.process_time() - started) * 1e6


@contextmanager
def gateway(folder: Path, percent: float) -> Iterator[int]:
    """The port of one that runs; ended with the block."""
    processes = Processes()
    try:
        upstream, port, admin = free_port(), free_port(), free_port()
        bootstrap = folder / "upstream" / "bootstrap.yaml"
        bootstrap.parent.mkdir()
        upstream_admin = free_port()
        bootstrap.write_text(render(upstream_bootstrap(upstream, upstream_admin)))
        processes.start_envoy(bootstrap, upstream_admin, asks_sidecar=False)
        file = folder / "gateway.yaml"
        file.write_text(
            GATEWAY.format(
                port=port, admin=admin, folder=folder, upstream=f"127.0.0.1:{upstream}", percent=percent,
                sidecar_admin=free_port(),
            )
        )  # fmt: skip
        entry = {"sha256": api_key.digest(KEY), "consumer": "bench", "tier": "premium"}
        (folder / "keys.yaml").write_text(json.dumps({"keys": [entry]}))
        (folder / "bootstrap.yaml").write_text(render(build_bootstrap(read_project(file, {}).plan)))
        processes.start([sys.executable, "-m", "extproc", "serve", str(file)], folder / "sidecar.log")
        processes.start_envoy(folder / "bootstrap.yaml", admin, asks_sidecar=True)
        yield port
    finally:
        processes.stop()


def shadow(requests: int, percent: float) -> dict[str, float]:
    """Milliseconds of the middle request, with and without; and the ratio."""
    taken: dict[str, list[float]] = {"/alone": [], "/shadowed": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, gateway(Path(folder), percent) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for number in range(WARM + requests):
            for path, times in taken.items():
                started = time.perf_counter()
                connection.request("GET", path, headers=dict(HEADERS))
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{path} was answered with {answer.status}")
                if number >= WARM:
                    times.append(time.perf_counter() - started)
        connection.close()
    alone, shadowed = (median(times) * 1000 for times in taken.values())
    return {"alone_p50_ms": alone, "shadowed_p50_ms": shadowed, "shadow_ratio": shadowed / alone}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each sort")
    parser.add_argument("--percent", type=float, default=10.0, help="of the requests that are copied")
    given = parser.parse_args(arguments)
    measured = {**choices(given.times), **shadow(given.requests, given.percent)}
    sys.stdout.write(json.dumps(measured, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
