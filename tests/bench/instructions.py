"""`python -m tests.bench.instructions`: how many instructions a decision of the fused route takes, by valgrind.

A decision, its log line and its metrics, from the bytes of the call to those of the answer; gRPC is left out. The same
number comes out however busy a machine is, so that it tells of the code alone. It needs `valgrind` on PATH, and half a
minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from extproc.app.background import BackgroundLog
from extproc.app.clock import SystemClock
from extproc.app.observing import Gathered, ObservedCounters, RecordedAndCounted, Summed, Unheard
from extproc.app.project import build_gateway, read_project
from extproc.app.serving import settle_memory
from extproc.core.names import REVISION, ROUTE
from extproc.core.record import DecisionRecord
from extproc.services.ext_authz import ExtAuthz
from extproc.services.records import reading
from extproc.stores.memory import MemoryCounters
from extproc.telemetry import JsonRecorder, Metrics
from extproc.wire.auth_pb2 import AttributeContext, CheckRequest, CheckResponse
from extproc.wire.base_pb2 import Address, HeaderMap, HeaderValue, SocketAddress
from tests.bench.cases import HEADERS, make_cases

TIMES: Final = 1_000
WARM: Final = 50
TOTAL: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
PATH: Final = "/api/v1/recommend?user=u1"


def call(number: int, revision: str) -> bytes:
    """As the generated Envoy asks."""
    fields = {":authority": "127.0.0.1:8080", ":path": PATH, ":method": "GET", ":scheme": "http", **HEADERS}
    fields |= {"x-forwarded-proto": "http", "x-request-id": f"5e3f2f6c-30f4-4d10-9d9a-{number:012d}"}
    http = AttributeContext.HttpRequest(
        id=str(number), method="GET", path=PATH, host="127.0.0.1:8080", scheme="http",
        header_map=HeaderMap(headers=[HeaderValue(key=key, raw_value=text.encode()) for key, text in fields.items()]),
    )  # fmt: skip
    source = AttributeContext.Peer(address=Address(socket_address=SocketAddress(address="127.0.0.1")))
    asked = AttributeContext.Request(http=http)
    stamp = {ROUTE: "fused", REVISION: revision}
    return CheckRequest(
        attributes=AttributeContext(source=source, request=asked, context_extensions=stamp)
    ).SerializeToString()


def decide(times: int, *, counted: bool) -> None:
    """Raises RuntimeError where a decision is no allow: it would be no measurement."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        asyncio.run(_decide(times, Path(folder), nowhere, counted=counted))


async def _decide(times: int, folder: Path, nowhere: TextIO, *, counted: bool) -> None:
    fused = make_cases(folder, "127.0.0.1:1")[-1]
    project, clock, metrics = read_project(fused.folder / "gateway.yaml", {}), SystemClock(), Metrics()
    operations = Summed(partial(metrics.store_operated, "memory"))
    decisions = Gathered[DecisionRecord](metrics.record)
    built = build_gateway(project, ObservedCounters(MemoryCounters(clock), operations), Unheard())
    metrics.config_loaded(built.gateway)
    log = BackgroundLog(nowhere)
    recorder = RecordedAndCounted(JsonRecorder(clock, log.put), decisions)
    service, read = ExtAuthz(lambda: built.gateway, clock, recorder), reading(CheckRequest)
    context: Any = _Context()
    calls = [call(number, built.gateway.revision) for number in range(WARM + times)]
    async with built.in_use():
        if counted:  # a test's own process collects as ever
            settle_memory()
        for wire in calls[:WARM]:
            answer = CheckResponse.FromString(await service.check(read(wire), context))
            if not answer.HasField("ok_response"):
                raise RuntimeError(f"refused: {answer}")
        _count(counted, "on")
        for wire in calls[WARM:]:
            await service.check(read(wire), context)
        operations.settle()
        decisions.settle()
        log.close()
        _count(counted, "off")


class _Context:
    def invocation_metadata(self) -> tuple[()]:
        return ()


def _count(counted: bool, switch: str) -> None:
    if counted:
        control = [shutil.which("callgrind_control") or "callgrind_control", "-i", switch, str(os.getpid())]
        subprocess.run(control, check=True, stdout=subprocess.DEVNULL)


def instructions(times: int) -> int:
    """Of one decision."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        within = [sys.executable, "-m", "tests.bench.instructions", "--times", str(times), "--within"]
        fixed = {**os.environ, "PYTHONHASHSEED": "0"}  # noqa: TID251 - the child runs in this environment
        subprocess.run([*tool, *within], check=True, env=fixed, stderr=subprocess.DEVNULL)
        return max(map(int, TOTAL.findall(out.read_text("utf-8")))) // times


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.bench.instructions", description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES, help="decisions to count")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.within:
        decide(options.times, counted=True)
        return 0
    if shutil.which("valgrind") is None:
        sys.stderr.write("valgrind is not on PATH (Debian: valgrind)\n")
        return 1
    sys.stdout.write(json.dumps({"instructions_per_decision": instructions(options.times)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
