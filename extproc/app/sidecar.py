"""The sidecar as one process: a file in, the three services and the admin address out, until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import grpc
from starlette.applications import Starlette

from extproc.admin.application import application
from extproc.admin.feedback import feedback_application
from extproc.app.background import BackgroundLog
from extproc.app.clock import SystemClock
from extproc.app.comparing import SHADOW_COMPARED, Comparer, compares, told_of
from extproc.app.counter_store import open_counters
from extproc.app.evidence import EVIDENCE_UNSAVED, EvidenceKept, assigned_shares, open_answers, open_evidence, watched
from extproc.app.feedback import FeedbackKept
from extproc.app.folders import make_sockets
from extproc.app.lag import lag_measured
from extproc.app.observing import Gathered, Harmless, ObservedCounters, RecordedAndCounted, Summed, ToldAndCounted
from extproc.app.ports import listen
from extproc.app.project import Project, build_gateway
from extproc.app.rollout_store import open_rollouts
from extproc.app.rollout_table import Measured, MovingShares, RolloutTable
from extproc.app.rollouts import ROLLOUTS_UNREAD, Rollouts
from extproc.app.serving import Tending, all_tended, any_set, http_served, settle_memory, signalled
from extproc.app.tokens import TokensTold
from extproc.app.usage import USAGE_UNSAVED, UsageKept, open_usage
from extproc.config.model import MEMORY
from extproc.core.comparing import Compared
from extproc.core.ended import Ended
from extproc.core.gateway import Gateway
from extproc.core.names import FEEDBACK_UPSTREAM, feedback_socket, sidecar_sockets
from extproc.core.ports import Ports, Recorder, ShareTable
from extproc.core.record import DecisionRecord
from extproc.plan.describe import describe
from extproc.plan.model import Plan
from extproc.services.access_log import AccessLog
from extproc.services.ext_authz import ExtAuthz, unheard
from extproc.services.ext_proc import ExtProc
from extproc.services.quota_stream import Quotas, QuotaStream
from extproc.services.ratelimit import RateLimit
from extproc.services.server import Server, SocketInUse, is_live, listen_on_socket
from extproc.stores.file_keys import KEYS_UNREADABLE
from extproc.stores.key_keeper import KeyKeeper
from extproc.stores.quota_file import UNCLEAN, UNSAVED
from extproc.stores.redis_connection import STORE_LOST
from extproc.stores.remote_keys import KEYS_UNAVAILABLE
from extproc.telemetry import JsonRecorder, Metrics

ADMIN_TOKEN: Final = "EXTPROC_ADMIN_TOKEN"  # noqa: S105 - the variable's name
GRACE: Final = 2.0
EXPECTED: Final = (
    *(KEYS_UNAVAILABLE, KEYS_UNREADABLE, STORE_LOST, UNCLEAN, UNSAVED),
    *(USAGE_UNSAVED, EVIDENCE_UNSAVED, ROLLOUTS_UNREAD),
)


class Sidecar:
    """One worker. `ready` is what /readyz says."""

    def __init__(self, project: Project) -> None:
        self._plan = plan = project.plan
        self._ready = False
        self._metrics = metrics = Metrics()
        self._harmless = harmless = Harmless(self._unmeasured)
        self._clock = clock = SystemClock()
        self._log = BackgroundLog(sys.stdout, harmless(metrics.line_dropped))
        self._recorder = JsonRecorder(clock, self._log.put)
        self._events = ToldAndCounted(self._recorder, harmless(metrics.happened))
        metrics.may_happen(*EXPECTED)
        self._counted = counted = open_counters(project, clock, self._events)
        metrics.watch_store(MEMORY, counted.here.__len__, counted.here.capacity)
        self._operations = Summed(harmless(partial(metrics.store_operated, counted.name)))
        self._decisions = Gathered[DecisionRecord](harmless(metrics.record))
        counters = ObservedCounters(counted.store, self._operations)
        shares = MovingShares()
        usage = open_usage(plan.sidecar, clock, self._events)
        self._usage = UsageKept(usage, self._events) if usage else None
        self._evidence: EvidenceKept | None = None
        self._feedback: FeedbackKept | None = None
        if plan.answers_models:
            self._hear_of_models(shares)
        count = self._usage.add if self._usage else None
        see = self._evidence.told if self._evidence else None
        tokens = TokensTold(clock, count, harmless(metrics.metered), see)
        self._built = built = build_gateway(project, counters, self._events, tokens, shares)
        self._gateway, ports = built.gateway, built.ports
        metrics.config_loaded(self._gateway)
        recorder = RecordedAndCounted(self._recorder, self._decisions)
        self._comparer = self._comparing(ports)
        self._rollouts = self._keep_rollouts(shares)
        self._server = Server(free_slot(plan), self._handlers(ports, recorder))

    def _hear_of_models(self, shares: ShareTable) -> None:
        plan, clock, harmless = self._plan, self._clock, self._harmless
        store = open_evidence(plan.sidecar, clock, self._events)
        measured = self._metrics.models(partial(assigned_shares, plan, shares), lambda: evidence.lost)
        evidence = EvidenceKept(store, watched(plan).versions, clock, self._events, harmless(measured.did))
        scored = frozenset(name for name, score in plan.scores.items() if score.feedback)
        self._evidence = evidence
        if scored:
            answers = open_answers(store, clock)
            self._feedback = FeedbackKept(answers, evidence, scored, clock, harmless(measured.told))

    def _ended(self, ended: Ended) -> None:
        """Of a request to a model, as Envoy tells of it."""
        if self._evidence is not None:
            self._evidence.ended(ended)
        if self._feedback is not None:
            self._feedback.ended(ended)

    def _keep_rollouts(self, shares: MovingShares) -> Rollouts | None:
        located, evidence = self._plan.sidecar.rollouts, self._evidence
        if located is None or evidence is None:
            return None
        measured, rules = self._metrics.rollouts(), self._plan.rollouts
        measured.watch(rules)
        harmless, store = Measured(self._harmless, measured), open_rollouts(located, self._events)
        table = RolloutTable(rules, shares, store, self._clock, self._events, harmless)
        return Rollouts(table, evidence, self._events, harmless)

    def _handlers(self, ports: Ports, recorder: Recorder) -> list[grpc.GenericRpcHandler]:
        services = (
            ExtAuthz(self._current, ports.clock, recorder, self._comparer.put if self._comparer else unheard),
            RateLimit(self._current, ports.counters, ports.clock, recorder, ports.chance),
            ExtProc(self._current, ports.clock, recorder),
            AccessLog(
                ports.counters,
                self._usage.add if self._usage else None,
                self._ended,
                watched(self._plan),
            ),
        )
        handlers = [service.handler() for service in services]
        if self._plan.quotas:
            quotas = Quotas(self._plan.revision, self._plan.quotas, self._plan.sidecar.quota_lifetime)
            stream = QuotaStream(quotas, ports.clock, recorder)
            self._metrics.watch_quotas(stream.envoys, stream.buckets)
            handlers.append(stream.handler())
        return handlers

    def _comparing(self, ports: Ports) -> Comparer | None:
        models = compares(self._plan, ports.expression)
        tell, drop = self._harmless(self._compared), self._harmless(self._metrics.shadow_dropped)
        return Comparer(models, ports.fetch, ports.clock, tell, drop) if models else None

    def _compared(self, compared: Compared) -> None:
        """A line for each: how alike the two are, and nothing of what they say."""
        self._metrics.compared(compared)
        self._recorder.event(SHADOW_COMPARED, **told_of(compared))

    def _current(self) -> Gateway:
        return self._gateway

    def _unmeasured(self, error: Exception) -> None:
        self._recorder.event("metrics_failed", error=type(error).__name__)

    def ready(self) -> bool:
        return self._ready and self._built.ready() and all(one.ready() for one in self._counted.tended)

    def plan(self) -> dict[str, object]:
        described = describe(self._plan)
        routes = [{"name": route.name, "calls": route.calls} for route in described.routes]
        return {"revision": described.revision, "routes": routes}

    def admin(self, token: str | None) -> Starlette:
        ledger = self._built.ledger
        keeper = KeyKeeper(ledger, self._clock) if ledger else None
        desk = self._rollouts.desk if self._rollouts else None
        return application(self, token, keeper, self._events, self._usage, self._evidence, self._feedback, desk)

    def _tended(self) -> tuple[Tending, ...]:
        kept = (self._usage, self._evidence, self._feedback, self._comparer, self._rollouts)
        told = [one for one in kept if one is not None]
        return (*self._built.tended, *self._counted.tended, *told)

    def published_keys(self) -> dict[str, object] | None:
        return self._built.signer.published() if self._built.signer else None

    def settle(self) -> None:
        self._operations.settle()
        self._decisions.settle()

    def metrics(self, accept: str) -> tuple[str, bytes]:
        return self._metrics.exposition(accept)

    async def run(self) -> None:
        """Serve until a signal. Raises OSError or SocketInUse where an address or socket cannot be had."""
        stopping = signalled()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._log.close)
            token = os.environ.get(ADMIN_TOKEN)  # noqa: TID251 - the composition root's to read
            await stack.enter_async_context(http_served(listen(self._plan.sidecar.admin), self.admin(token)))
            await stack.enter_async_context(lag_measured(self._clock, self._harmless(self._metrics.loop_lagged)))
            await stack.enter_async_context(self._built.in_use())
            await stack.enter_async_context(self._counted.in_use())
            await stack.enter_async_context(all_tended(self._tended()))
            make_sockets(self._plan)
            await self._serve_feedback(stack)
            await self._server.start()
            stack.push_async_callback(self._server.stop, GRACE)
            settle_memory()
            if self._rollouts is not None:  # whoever is asked before would answer by weights that were left long ago
                await any_set(self._rollouts.in_force, stopping)
            if stopping.is_set():
                return
            await self._server.serve()
            self._ready = True
            self._recorder.event("ready", revision=self._plan.revision, routes=len(self._plan.routes))
            await stopping.wait()
            self._ready = False
            self._recorder.event("stopping")

    async def _serve_feedback(self, stack: contextlib.AsyncExitStack) -> None:
        """Where a route leads to it. Raises OSError or SocketInUse."""
        if self._feedback is not None and FEEDBACK_UPSTREAM in self._plan.upstreams:
            path = feedback_socket(self._plan.sidecar.folder)
            listening = listen_on_socket(path)
            stack.callback(Path(path).unlink, missing_ok=True)
            await stack.enter_async_context(http_served(listening, feedback_application(self._feedback)))


def free_slot(plan: Plan) -> str:
    """The worker's first slot. A second sidecar beside a live one would count every limit a second time."""
    slots = sidecar_sockets(plan.sidecar.folder, plan.sidecar.workers)
    live = next((slot for slot in slots if is_live(slot)), None)
    if live is not None:
        raise SocketInUse(f"another sidecar serves {live}; its counters are in its memory, so it cannot be joined")
    return slots[0]
