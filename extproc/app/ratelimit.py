"""A rate limit service as one process: a folder of envoyproxy/ratelimit's files in, its gRPC service and HTTP out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from extproc.admin.ratelimit import ratelimit_application
from extproc.app.background import BackgroundLog
from extproc.app.clock import SystemClock
from extproc.app.lag import lag_measured
from extproc.app.limit_files import LimitFiles
from extproc.app.observing import Gathered, Harmless, ObservedWindows, RecordedAndCounted, Summed, ToldAndCounted
from extproc.app.ports import listen
from extproc.app.server_certificates import ServerCertificates, TlsFiles
from extproc.app.serving import Tending, all_tended, http_served, settle_memory, signalled
from extproc.app.sidecar import ADMIN_TOKEN, GRACE
from extproc.config.model import MEMORY
from extproc.config.ratelimit_folder import LoadedLimits
from extproc.core.descriptors import DescriptorLimit, limits_of
from extproc.core.errors import RefusedLimits
from extproc.core.rate_limiter import Domains, Modes, RateLimiter
from extproc.core.record import DecisionRecord
from extproc.core.tally import Tally
from extproc.plan.model import Endpoint
from extproc.services.ratelimit_files import HEALTH_NAMES, RateLimitFiles, Shown
from extproc.services.server import AddressServer, Server
from extproc.stores.redis_connection import STORE_LOST, RedisConnection
from extproc.stores.window_memory import MemoryWindows
from extproc.stores.window_redis import RedisWindows
from extproc.telemetry import JsonRecorder, Metrics

ADMIN: Final = Endpoint("127.0.0.1", 9900)
UNIX: Final = "unix:"
REDIS: Final = "redis"  # the store's name in the metrics
STORE: Final = "limits"  # and in what is told of it
LIMITS_LOADED: Final = "limits_loaded"
LIMITS_REFUSED: Final = "limits_refused"
CERTIFICATE_REFUSED: Final = "certificate_refused"
LEAVING: Final = 1.5  # seconds between NOT_SERVING and the end: three of Envoy's health checks see it


@dataclass(frozen=True, slots=True)
class RateLimitOptions:
    """`address` is HOST:PORT or unix:PATH. Without an `admin`, ADMIN is taken where it is free; without a `redis`, a
    URL, counters are in memory; without `tls`, a TCP address has none."""

    folder: Path
    address: str
    admin: Endpoint | None = None
    redis: str | None = field(default=None, repr=False)
    tls: TlsFiles | None = None
    merge: bool = False
    modes: Modes = field(default_factory=Modes)
    shown: Shown = field(default_factory=Shown)


@dataclass(frozen=True, slots=True)
class _Meter:
    """What is measured changes no answer: every call of it is harmless."""

    hits: Callable[[str, str, Tally], None]
    domain_not_found: Callable[[str], None]
    shadowed: Callable[[], None]


class RateLimitServer:
    def __init__(self, options: RateLimitOptions) -> None:
        """Raises RefusedLimits or UnusableCertificate where files cannot be used."""
        self._options = options
        self._serving = False
        self._clock = clock = SystemClock()
        self._metrics = metrics = Metrics()
        self._harmless = harmless = Harmless(self._unmeasured)
        self._files = LimitFiles(options.folder, merge=options.merge, loaded=self._loaded, refused=self._refused)
        self._first = self._files.load()
        metrics.limits_loaded(self._first.domains, self._first.revision)
        self._log = BackgroundLog(sys.stdout, harmless(metrics.line_dropped))
        self._recorder = JsonRecorder(clock, self._log.put)
        self._events = ToldAndCounted(self._recorder, harmless(metrics.happened))
        metrics.may_happen(LIMITS_REFUSED, *([STORE_LOST] if options.redis else []))
        self._decisions = Gathered[DecisionRecord](harmless(metrics.record))
        self._redis = RedisWindows(RedisConnection(options.redis, STORE, self._events)) if options.redis else None
        name = REDIS if self._redis else MEMORY
        self._operations = Summed(harmless(partial(metrics.store_operated, name)))
        self._service = RateLimitFiles(
            self._limiter(), clock, RecordedAndCounted(self._recorder, self._decisions), options.shown
        )
        tls = ServerCertificates(options.tls, self._certificate_refused) if options.tls else None
        self._server = _server(options.address, self._service, tls)

    def _limiter(self) -> RateLimiter:
        counted, harmless = self._metrics.limits(), self._harmless
        meter = _Meter(harmless(counted.hits), harmless(counted.domain_not_found), harmless(counted.shadowed))
        store = ObservedWindows(self._redis or self._memory(), self._operations)
        return RateLimiter(self._domains, store, meter, self._options.modes)

    def _memory(self) -> MemoryWindows:
        memory = MemoryWindows(self._clock)
        self._metrics.watch_store(MEMORY, memory.__len__, memory.capacity)
        return memory

    def _domains(self) -> Domains | None:
        return self._files.current.domains if self._files.current else None

    def _unmeasured(self, error: Exception) -> None:
        self._recorder.event("metrics_failed", error=type(error).__name__)

    def _loaded(self, loaded: LoadedLimits) -> None:
        self._metrics.limits_loaded(loaded.domains, loaded.revision)
        self._events.event(LIMITS_LOADED, **_told(loaded))

    def _refused(self, error: RefusedLimits) -> None:
        self._metrics.config_refused()
        self._events.event(LIMITS_REFUSED, error=str(error), file=error.file, line=error.line)

    def _certificate_refused(self, error: str) -> None:
        """In a thread of gRPC's."""
        self._events.event(CERTIFICATE_REFUSED, error=error)

    def ready(self) -> bool:
        """An answer without any limit lets everybody pass: whoever can ask somebody else had better do so."""
        return self._serving and bool(self._domains()) and (self._redis is None or self._redis.ready())

    def limits(self) -> str:
        return "".join(
            f"{limit_line(limit)}\n" for root in (self._domains() or {}).values() for limit in limits_of(root)
        )

    async def answer_json(self, body: bytes) -> tuple[int, str, str]:
        return await self._service.answer_json(body)

    def settle(self) -> None:
        self._operations.settle()
        self._decisions.settle()

    def metrics(self, accept: str) -> tuple[str, bytes]:
        return self._metrics.exposition(accept)

    async def run(self) -> None:
        """Serve until a signal. Raises OSError or SocketInUse where an address cannot be had."""
        stopping = signalled()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._log.close)
            if (listening := admin_socket(self._options.admin, self._recorder.event)) is not None:
                token = os.environ.get(ADMIN_TOKEN)  # noqa: TID251 - the composition root's to read
                await stack.enter_async_context(http_served(listening, ratelimit_application(self, token)))
            await stack.enter_async_context(lag_measured(self._clock, self._harmless(self._metrics.loop_lagged)))
            await self._server.start()
            stack.push_async_callback(self._server.stop, GRACE)
            settle_memory()
            if self._redis is not None:
                stack.push_async_callback(self._redis.close)
            tended: list[Tending] = [self._files, _Health(self._server, self.ready)]
            tended += [self._redis] if self._redis else []
            await stack.enter_async_context(all_tended(tended))
            self._serving = True
            self._recorder.event("ready", address=self._options.address, **_told(self._first))
            await stopping.wait()
            self._serving = False
            self._recorder.event("stopping")
            await self._server.drain()
            await asyncio.sleep(LEAVING)


def admin_socket(wanted: Endpoint | None, tell: Callable[..., object]) -> socket.socket | None:
    """Raises OSError where the address that is wanted cannot be had. Whoever wants none in particular and cannot have
    ours, for a sidecar has it, does without."""
    try:
        return listen(wanted or ADMIN)
    except OSError as error:
        if wanted is not None:
            raise
        tell("no_admin_address", error=str(error.strerror))
        return None


@dataclass(frozen=True, slots=True)
class _Health:
    """Keeps what a health check hears in step with whether there is anything to say."""

    server: Server
    ready: Callable[[], bool]
    every: float = 0.1

    async def tend(self) -> None:
        told = False
        while True:
            ready = self.ready()
            if ready is not told:
                change: Callable[[], Awaitable[None]] = self.server.serve if ready else self.server.pause
                await change()
                told = ready
            await asyncio.sleep(self.every)


def _server(address: str, service: RateLimitFiles, tls: ServerCertificates | None) -> Server:
    if address.startswith(UNIX):
        return Server(address.removeprefix(UNIX), [service.handler()], HEALTH_NAMES)
    return AddressServer(address, [service.handler()], HEALTH_NAMES, tls.credentials() if tls else None)


def _told(loaded: LoadedLimits) -> dict[str, object]:
    return {"revision": loaded.revision, "files": len(loaded.files), "domains": len(loaded.domains)}


def limit_line(limit: DescriptorLimit) -> str:
    """As envoyproxy/ratelimit spells it, for whoever compares the two."""
    unit = limit.unit.name if limit.unit is not None else "UNKNOWN"
    flags: Iterable[tuple[str, bool]] = [("shadow_mode", limit.shadow), ("quota_mode", limit.quota)]
    flags = [*flags, *([("unlimited", True)] if limit.unit is None else [])]
    told = ", ".join(f"{name}: {str(value).lower()}" for name, value in flags)
    return f"{limit.path}: unit={unit} requests_per_unit={limit.count}, {told}"
