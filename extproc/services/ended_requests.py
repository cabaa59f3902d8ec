"""An entry of Envoy's access log as what ended, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.duration_pb2 import Duration

from extproc.core.ended import Ended, read_score
from extproc.core.held import is_metered, settled_amount
from extproc.core.names import (
    DECIDED_ANONYMOUS,
    DECIDED_CONSUMER,
    DECIDED_HELD,
    DECIDED_MODEL,
    DECIDED_VERSION,
    DECISION_NAMESPACE,
    FROM_UPSTREAM,
    MODEL_FALLBACK,
    MODEL_VERSION,
)
from extproc.wire.accesslog_pb2 import AccessLogCommon, HTTPAccessLogEntry

NANOSECONDS: Final = 1_000_000_000
# Envoy's own words for an upstream that gave no answer, or broke it off (accesslog.proto: ResponseFlags).
NO_ANSWER: Final = (
    "no_healthy_upstream", "upstream_request_timeout", "upstream_remote_reset", "upstream_connection_failure",
    "upstream_connection_termination", "upstream_overflow", "upstream_retry_limit_exceeded",
    "upstream_max_stream_duration_reached", "upstream_protocol_error", "dns_resolution_failure",
)  # fmt: skip
LEFT: Final = ("downstream_connection_termination", "downstream_remote_reset", "downstream_protocol_error")


@dataclass(frozen=True, slots=True)
class Watched:
    """What the plan knows of the requests that Envoy tells of. `versions` are each model's, `scores` the header of each
    model's answers that says how good they are; `streams` are routes; `settles` are headers that say what a request
    came to. A name that is not here is nobody's."""

    versions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)
    streams: frozenset[str] = frozenset()
    settles: frozenset[str] = frozenset()

    def ended(self, entry: HTTPAccessLogEntry) -> Ended | None:
        """None where no version of a model was decided for."""
        common, answer = entry.common_properties, entry.response
        decided = common.metadata.filter_metadata[DECISION_NAMESPACE].fields
        model, chosen = decided[DECIDED_MODEL].string_value, decided[DECIDED_VERSION].string_value
        known = self.versions.get(model, frozenset())
        if chosen not in known:
            return None
        answered = answer.response_headers.get(MODEL_VERSION, "")
        flags = {flag.name for flag, _ in common.response_flags.ListFields()}
        return Ended(
            model,
            chosen,
            common.start_time.seconds,
            answer.response_code.value,
            from_upstream=answer.response_code_details == FROM_UPSTREAM,
            no_answer=not flags.isdisjoint(NO_ANSWER),
            client_left=not flags.isdisjoint(LEFT),
            sent=_since_start(common, "time_to_last_upstream_tx_byte"),
            first=_since_start(common, "time_to_first_upstream_rx_byte"),
            last=_since_start(common, "time_to_last_upstream_rx_byte"),
            over=_since_start(common, "duration"),
            stream=common.route_name in self.streams,
            answered=answered if answered in known else "",
            fallen_back=answer.response_headers.get(MODEL_FALLBACK, ""),
            tokens=self.tokens(entry),
            score=read_score(answer.response_headers.get(self.scores[model], "")) if model in self.scores else None,
            request_id=entry.request.request_id,
            consumer=consumer_of(entry),
        )

    def tokens(self, entry: HTTPAccessLogEntry) -> int:
        """As the answer's headers say; of a metered answer, whoever has read it tells."""
        decided = entry.common_properties.metadata.filter_metadata[DECISION_NAMESPACE].fields
        if is_metered(decided[DECIDED_HELD].string_value):
            return 0
        told = entry.response.response_headers
        return sum(settled_amount(told[name]) for name in self.settles if name in told)


def consumer_of(entry: HTTPAccessLogEntry) -> str:
    decided = entry.common_properties.metadata.filter_metadata[DECISION_NAMESPACE].fields
    return decided[DECIDED_CONSUMER].string_value or decided[DECIDED_ANONYMOUS].string_value


def _since_start(common: AccessLogCommon, name: str) -> float | None:
    if not common.HasField(name):
        return None
    taken: Duration = getattr(common, name)
    return taken.seconds + taken.nanos / NANOSECONDS
