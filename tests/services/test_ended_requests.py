"""Entries of Envoy's access log as what versions of models did, hostile ones included."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from extproc.core.ended import Ended
from extproc.core.names import DECISION_NAMESPACE, EVIDENCE_LOG, USAGE_LOG
from extproc.services.access_log import AccessLog
from extproc.services.ended_requests import LEFT, NO_ANSWER, Watched
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock
from extproc.wire.accesslog_pb2 import HTTPAccessLogEntry, ResponseFlags, StreamAccessLogsMessage

WATCHED = Watched({"chat": frozenset({"v1", "v2"})}, {"chat": "x-score"}, frozenset({"streaming"}))


def entry(**decided: str) -> HTTPAccessLogEntry:
    told = HTTPAccessLogEntry()
    common = told.common_properties
    common.start_time.seconds, common.start_time.nanos = 1_790_000_000, 999_999_999
    common.route_name = "whole"
    common.time_to_last_upstream_tx_byte.nanos = 10_000_000
    common.time_to_first_upstream_rx_byte.nanos = 110_000_000
    common.time_to_last_upstream_rx_byte.seconds = 1
    common.duration.seconds = 2
    for name, text in {"model": "chat", "version": "v1", "consumer": "acme", **decided}.items():
        common.metadata.filter_metadata[DECISION_NAMESPACE].fields[name].string_value = text
    told.response.response_code.value = 200
    told.response.response_code_details = "via_upstream"
    told.request.request_id = "an-id"
    return told


def ended(told: HTTPAccessLogEntry) -> Ended:
    found = WATCHED.ended(told)
    assert found is not None
    return found


def test_an_entry_tells_who_answered_how_and_when() -> None:
    assert ended(entry()) == Ended(
        "chat", "v1", 1_790_000_000, 200, from_upstream=True, sent=0.01, first=0.11, last=1.0, over=2.0,
        request_id="an-id", consumer="acme",
    )  # fmt: skip


def test_of_a_route_that_streams_the_first_byte_counts() -> None:
    told = entry()
    told.common_properties.route_name = "streaming"
    assert ended(told).latency == pytest.approx(0.1)


@pytest.mark.parametrize("decided", [{"model": ""}, {"model": "other"}, {"version": ""}, {"version": "v3"}])
def test_a_name_that_the_plan_does_not_hold_is_nobodys(decided: dict[str, str]) -> None:
    assert WATCHED.ended(entry(**decided)) is None
    assert WATCHED.ended(HTTPAccessLogEntry()) is None


def test_a_version_of_another_name_answered_nothing() -> None:
    told = entry()
    told.response.response_headers.update({"x-model-version": "evil", "x-model-fallback": "v1"})
    assert ended(told).version == "v1"


@pytest.mark.parametrize("flag", NO_ANSWER)
def test_each_way_of_an_upstream_to_give_no_answer_is_an_error(flag: str) -> None:
    told = entry()
    told.response.response_code.value = 503
    told.response.response_code_details = "upstream_reset_before_response_started{connection_termination}"
    assert not ended(told).counts
    setattr(told.common_properties.response_flags, flag, True)
    assert ended(told).counts
    assert ended(told).error


@pytest.mark.parametrize("flag", LEFT)
def test_each_way_of_a_client_to_leave_counts_for_nothing(flag: str) -> None:
    told = entry()
    setattr(told.common_properties.response_flags, flag, True)
    assert not ended(told).counts


def test_every_flag_that_is_read_is_either() -> None:
    assert {field.name for field in ResponseFlags.DESCRIPTOR.fields} == {*NO_ANSWER, *LEFT}


@pytest.mark.parametrize(
    "details", ["ext_authz_denied", "extproc_limit", "direct_response", "request_rate_limited", "", "via_upstream_not"]
)
def test_what_the_gateway_answers_itself_counts_for_nothing(details: str) -> None:
    told = entry()
    told.response.response_code_details = details
    assert not ended(told).counts


@pytest.mark.parametrize(("text", "score"), [("0.5", 0.5), ("", None), ("NaN", None), ("7", None), ("0.5,0.5", None)])
def test_a_score_is_read_from_the_models_own_header(text: str, score: float | None) -> None:
    told = entry()
    told.response.response_headers.update({"x-score": text, "": "1"})
    assert ended(told).score == score


def test_of_a_model_whose_answers_nobody_scores_no_header_is_a_score() -> None:
    told = entry()
    told.response.response_headers.update({"x-score": "1", "": "1"})
    unscored = Watched(WATCHED.versions).ended(told)
    assert unscored is not None
    assert unscored.score is None


@pytest.mark.parametrize(("log", "expected"), [(EVIDENCE_LOG, 2), (USAGE_LOG, 2), ("extproc", 0), ("", 0)])
async def test_both_streams_that_sum_tell_of_versions_and_no_other(log: str, expected: int) -> None:
    heard: list[Any] = []

    async def messages() -> AsyncIterator[StreamAccessLogsMessage]:
        for number in range(2):
            message = StreamAccessLogsMessage()
            message.identifier.log_name = "" if number else log
            message.http_logs.log_entry.append(entry())
            yield message

    service = AccessLog(MemoryCounters(FakeClock()), None, heard.append, WATCHED)
    await service.stream(messages(), None)  # type: ignore[arg-type]
    assert len(heard) == expected
