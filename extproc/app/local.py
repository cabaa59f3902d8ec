"""`extproc up`: sidecar and Envoy (and the demo's upstreams) as child processes, from nothing to ready and back."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from extproc.app import demo
from extproc.app.children import Child, Children
from extproc.app.clock import SystemClock
from extproc.app.envoy import find_envoy, validate, version_of
from extproc.app.folders import WORK_FOLDER, make_sockets, write_private
from extproc.app.ports import busy
from extproc.app.project import SOCKETS, build_gateway, read_project
from extproc.app.serving import SIGNALS
from extproc.app.sidecar import ADMIN_TOKEN
from extproc.bootstrap.version import warning
from extproc.config.model import MEMORY
from extproc.plan.model import Endpoint, Plan

UPSTREAM: Final = "upstream.py"
READY_TIMEOUT: Final = 30.0
POLL: Final = 0.05
DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of the user's proxy
FLUSH_MILLISECONDS: Final = "1000"  # ten seconds otherwise: too long for who watches an access log
HEALTHY: Final = "cluster.extproc.sidecar.membership_healthy"


class CannotRun(Exception):
    """Something that was needed could not be had, in a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked for. With `demo`, the ports are written into its environment; else the file says them.

    `text` is what the file holds where it is no file, as standard input is none.
    """

    file: Path
    demo: Path | None = None
    port: int = 8080
    admin_port: int = 9900
    envoy_admin_port: int = 9901
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """What is there once everything answers."""

    plan: Plan
    gateway: str
    admin: str
    admin_token: str = field(repr=False)
    envoy_admin: str
    credentials: demo.Credentials | None


class Reporter(Protocol):
    """Who shows what happens. Called from the event loop; must return at once."""

    def step(self, text: str) -> None: ...

    def ready(self, running: Running) -> None: ...

    def decision(self, record: Mapping[str, Any]) -> None: ...

    def stopping(self) -> None: ...


async def run(options: Options, reporter: Reporter) -> None:
    """From nothing to ready, then until a signal, then back to nothing.

    Raises:
        InvalidConfig: the file cannot be used.
        CannotRun: a port is taken, a process died or did not become ready.
        NoEnvoy: there is no Envoy.
    """
    stopping = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    sockets = Path(tempfile.mkdtemp(prefix="extproc-"))
    children = Children()
    try:
        await _until_stopped(_Run(options, reporter, children, sockets), stopping)
    finally:
        if children.running:
            reporter.stopping()
        await children.stop()
        shutil.rmtree(sockets, ignore_errors=True)


async def _until_stopped(attempt: _Run, stopping: asyncio.Event) -> None:
    """A signal ends the start as it ends the run."""
    stopped = asyncio.ensure_future(stopping.wait())
    working = asyncio.ensure_future(attempt.start_and_watch())
    try:
        await asyncio.wait({stopped, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (stopped, working):
            task.cancel()
        await asyncio.gather(stopped, working, return_exceptions=True)


class _Run:
    """One run: each method is one step of the way up."""

    def __init__(self, options: Options, reporter: Reporter, children: Children, sockets: Path) -> None:
        self._options = options
        self._reporter = reporter
        self._children = children
        self._work = Path.cwd() / WORK_FOLDER
        self._token = secrets.token_urlsafe(24)
        self._environment = {**os.environ, "SIDECAR_SOCKETS": str(sockets), SOCKETS: str(sockets)}  # noqa: TID251

    async def start_and_watch(self) -> None:
        binary = find_envoy()
        held_against = warning(await version_of(binary))
        if held_against:
            self._reporter.step(held_against)
        self._work.mkdir(exist_ok=True)
        self._work.chmod(0o700)  # whoever made it: logs, keys and tokens are its user's alone
        (self._work / demo.ENVIRONMENT).unlink(missing_ok=True)  # whoever waits for it must not find the last run's
        credentials = await self._demo() if self._options.demo else None
        project = read_project(self._options.file, self._environment, self._options.text)
        build_gateway(project)
        plan = project.plan
        self._refuse_busy([listener.address for listener in plan.listeners] + [plan.sidecar.admin, plan.envoy.admin])
        bootstrap = await self._bootstrap(binary, plan)
        sidecar = await self._start_pair(binary, plan, bootstrap)
        feed = asyncio.ensure_future(self._feed(sidecar))
        dying = asyncio.ensure_future(self._children.first_exit())
        try:
            await self._wait_ready(plan, dying)
            self._announce(plan, credentials)
            await asyncio.wait({dying})
            raise CannotRun(self._obituary(dying.result()))
        finally:
            feed.cancel()
            dying.cancel()

    async def _demo(self) -> demo.Credentials:
        options = self._options
        mine = [Endpoint("127.0.0.1", port) for port in (options.port, options.admin_port, options.envoy_admin_port)]
        self._refuse_busy(mine)
        for needed in (options.file, (options.demo or Path()) / UPSTREAM):
            if not needed.is_file():
                raise CannotRun(f"{options.demo} is no demo's folder: it has no {needed.name}")
        self._reporter.step("starting the demo's upstreams")
        self._environment |= dict(
            zip(("GATEWAY_ADDRESS", "SIDECAR_ADMIN", "ENVOY_ADMIN"), map(str, mine), strict=True),
            JWKS_FILE=str(self._work / demo.JWKS),
            KEYS_FILE=str(self._work / demo.KEYS),
            ROLLOUTS=self._rollouts(),
        )
        addresses = await asyncio.gather(*(self._upstream(service) for service in demo.UPSTREAMS))
        self._environment |= dict(zip(demo.UPSTREAMS.values(), addresses, strict=True))
        self._reporter.step("making a signing key, API keys and tokens")
        return demo.make_credentials(self._work, SystemClock())

    def _rollouts(self) -> str:
        """Where the counters are, or in a file where these are in memory."""
        counters = self._environment.get("COUNTERS", MEMORY)
        return f"file:{self._work / demo.ROLLOUTS}" if counters == MEMORY else counters

    async def _upstream(self, service: str) -> str:
        """Start one upstream on a port of its own choice; it says which one in its first line."""
        folder = self._options.demo or Path()
        command = [sys.executable, str(folder / UPSTREAM), service]
        child = await self._children.start(
            service, command, self._environment, self._work / f"{service}.log", piped=True
        )
        if child.process.stdout is None:
            raise CannotRun(f"the upstream {service} has no output")
        line = await asyncio.wait_for(child.process.stdout.readline(), READY_TIMEOUT)
        if not line:
            raise CannotRun(f"the upstream {service} did not start: see {self._work / f'{service}.log'}")
        return line.decode().strip()

    def _refuse_busy(self, addresses: list[Endpoint]) -> None:
        if len({str(address) for address in addresses}) != len(addresses):
            raise CannotRun(f"the ports must differ: {', '.join(map(str, addresses))}")
        problems = busy(addresses)
        if problems:
            raise CannotRun("; ".join(problems) + ". Stop what is using it, or choose another port.")

    async def _bootstrap(self, binary: str, plan: Plan) -> Path:
        from extproc.app.rendering import write_files  # noqa: PLC0415 - takes most of a second to import

        self._reporter.step("writing Envoy's bootstrap, and asking Envoy what it thinks of it")
        file = write_files(plan, self._work, write_private)
        objection = await validate(binary, file)
        if objection:
            raise CannotRun(f"Envoy refuses {file}: {objection}")
        return file

    async def _start_pair(self, binary: str, plan: Plan, bootstrap: Path) -> Child:
        self._reporter.step("starting the sidecar and Envoy")
        make_sockets(plan)  # Envoy listens in a folder that must be there, whichever of the two is quicker
        serve = [sys.executable, "-m", "extproc", "serve", str(self._options.file)]
        sidecar = await self._children.start(
            "sidecar",
            serve,
            {**self._environment, ADMIN_TOKEN: self._token},
            self._work / "sidecar.err.log",
            piped=True,
            given=self._options.text,
        )
        envoy = [binary, "-c", str(bootstrap), "--concurrency", str(plan.envoy.concurrency)]
        envoy += ["--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", FLUSH_MILLISECONDS]
        await self._children.start("envoy", envoy, self._environment, self._work / "envoy.log")
        return sidecar

    async def _feed(self, sidecar: Child) -> None:
        """Keep the sidecar's lines, and show its decisions."""
        if sidecar.process.stdout is None:
            return
        with (self._work / "decisions.jsonl").open("wb") as kept:
            async for line in sidecar.process.stdout:
                kept.write(line)
                kept.flush()
                record = _parsed(line)
                if record.get("event") == "decision":
                    self._reporter.decision(record)

    async def _wait_ready(self, plan: Plan, dying: asyncio.Future[Child]) -> None:
        """Ready is when Envoy sees a healthy sidecar: before that, it refuses."""
        url = f"http://{plan.envoy.admin}/stats?filter=^{HEALTHY}$"
        deadline = asyncio.get_running_loop().time() + READY_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            if dying.done():
                raise CannotRun(self._obituary(dying.result()))
            if (await asyncio.to_thread(_get, url)).strip() == f"{HEALTHY}: 1":
                return
            await asyncio.sleep(POLL)
        raise CannotRun(f"Envoy and sidecar were not ready within {READY_TIMEOUT:g} s: see {self._work}/*.log")

    def _announce(self, plan: Plan, credentials: demo.Credentials | None) -> None:
        listener = plan.listeners[0]
        address = listener.address
        host = "127.0.0.1" if address.host in ("0.0.0.0", "::") else address.host  # noqa: S104 - what the file may say
        running = Running(
            plan=plan,
            gateway=f"{'https' if listener.tls else 'http'}://{Endpoint(host, address.port)}",
            admin=f"http://{plan.sidecar.admin}",
            admin_token=self._token,
            envoy_admin=f"http://{plan.envoy.admin}",
            credentials=credentials,
        )
        if credentials:
            places = demo.Places(running.gateway, running.admin, running.admin_token)
            write_private(self._work / demo.ENVIRONMENT, demo.environment_file(places, credentials))
        self._reporter.ready(running)

    def _obituary(self, child: Child) -> str:
        logs = {"sidecar": "sidecar.err.log", "envoy": "envoy.log"}
        log = self._work / logs.get(child.name, f"{child.name}.log")
        said = log.read_text("utf-8", "replace").strip().splitlines()[-5:]
        return "\n".join([f"{child.name} ended with status {child.process.returncode}: see {log}", *said])


def _get(url: str) -> str:
    try:
        with DIRECT.open(url, timeout=1) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError):
        return ""


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
