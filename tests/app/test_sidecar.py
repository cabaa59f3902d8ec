"""`extproc serve` from its start to its end, as an operator meets it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from extproc.core.names import REVISION, ROUTE
from extproc.services import ext_authz
from extproc.wire.auth_pb2 import AttributeContext, CheckRequest, CheckResponse
from extproc.wire.base_pb2 import HeaderMap, HeaderValue
from tests.app.processes import PATIENCE
from tests.app.sidecars import TOKEN, Sidecar, answers

READY_WITHIN = 20.0  # seconds: a bound for a busy machine, not a target
RESIDENT_BELOW = 120 * 1024  # kilobytes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One that tests may ask but not end."""
    with Sidecar(tmp_path_factory.mktemp("one")) as sidecar:
        took = sidecar.until_ready()
        assert took < READY_WITHIN
        yield sidecar


def check(sidecar: Sidecar, method: str, revision: str) -> CheckResponse:
    fields = HeaderMap(headers=[HeaderValue(key="x-request-id", raw_value=b"id-1")])
    http = AttributeContext.HttpRequest(method=method, path="/open", header_map=fields)
    asked = AttributeContext.Request(http=http)
    stamp = {ROUTE: "open", REVISION: revision}
    call = CheckRequest(attributes=AttributeContext(request=asked, context_extensions=stamp))
    with grpc.insecure_channel(f"unix:{sidecar.socket}") as channel:
        stub = channel.unary_unary(
            f"/{ext_authz.SERVICE}/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        return stub(call, timeout=20)


def test_health_is_for_anybody(running: Sidecar) -> None:
    assert running.get("/healthz") == (200, {"status": "alive"})
    assert running.get("/readyz") == (200, {"status": "ready"})


def test_the_plan_is_for_the_bearer_of_the_token(running: Sidecar) -> None:
    assert running.get("/plan")[0] == 401
    assert running.get("/plan", "wrong")[0] == 401
    status, plan = running.get("/plan", TOKEN)
    assert status == 200
    assert plan["routes"] == [{"name": "open", "calls": 1}, {"name": "rest", "calls": 0}]


def test_a_check_is_answered_and_written_down(running: Sidecar) -> None:
    revision = running.get("/plan", TOKEN)[1]["revision"]
    assert check(running, "GET", revision).status.code == 0
    assert check(running, "POST", revision).denied_response.status.code == 403
    records = [running.event(), running.event()]
    assert [(record["result"], record["route"], record["request_id"]) for record in records] == [
        ("allow", "open", "id-1"),
        ("deny", "open", "id-1"),
    ]


def test_metrics_are_for_anybody_in_both_formats(running: Sidecar) -> None:
    status, content_type, plain = running.ask("/metrics", {})
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    status, content_type, openmetrics = running.ask("/metrics", {"accept": "application/openmetrics-text"})
    assert (status, content_type) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    revision = running.get("/plan", TOKEN)[1]["revision"]
    for text in (plain.decode(), openmetrics.decode()):
        assert f'extproc_config_info{{revision="{revision}"}} 1' in text
        assert 'extproc_config_reloads_total{result="success"} 1' in text
        assert 'extproc_store_capacity{store="memory"} 1e+06' in text
        assert "extproc_log_lines_dropped_total 0" in text


def test_the_event_loops_lag_is_measured_as_long_as_it_runs(running: Sidecar) -> None:
    def wakings() -> float:
        lines = running.ask("/metrics", {})[2].decode().splitlines()
        return float(next(line for line in lines if line.startswith("extproc_event_loop_lag_seconds_count")).split()[1])

    before, deadline = wakings(), time.monotonic() + PATIENCE
    while wakings() < before + 2:
        assert time.monotonic() < deadline


def test_a_ready_sidecar_is_small(running: Sidecar) -> None:
    assert running.resident_kilobytes() < RESIDENT_BELOW


def test_the_socket_is_for_its_owner_and_its_group(running: Sidecar) -> None:
    assert running.socket.stat().st_mode & 0o777 == 0o660


def test_a_second_sidecar_on_the_same_folder_says_so_and_the_first_goes_on(running: Sidecar, tmp_path: Path) -> None:
    with Sidecar(tmp_path, sockets=running.folder) as second:
        code, said = second.ended()
    assert code == 3
    assert said.splitlines() == [
        f"extproc: another sidecar serves {running.socket}; its counters are in its memory, so it cannot be joined"
    ]
    assert answers(running.socket)
    assert running.get("/readyz")[0] == 200


def test_a_busy_admin_port_is_a_sentence(running: Sidecar, tmp_path: Path) -> None:
    with Sidecar(tmp_path, admin=running.admin) as second:
        code, said = second.ended()
    assert (code, said) == (3, f"extproc: 127.0.0.1:{running.admin} cannot be used: Address already in use\n")
    assert not second.socket.exists()


def test_a_socket_folder_that_is_not_there_is_made_for_owner_and_group(tmp_path: Path) -> None:
    with Sidecar(tmp_path, sockets=tmp_path / "a" / "b") as sidecar:
        sidecar.until_ready()
        assert sidecar.socket.parent.stat().st_mode & 0o777 == 0o750


def test_a_socket_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with Sidecar(tmp_path, sockets=tmp_path / "file") as sidecar:
        code, said = sidecar.ended()
    assert (code, said) == (3, f"extproc: {tmp_path / 'file'}: File exists\n")


def test_a_file_that_cannot_be_used_is_told_with_the_place(tmp_path: Path) -> None:
    with Sidecar(tmp_path, text="listeners: 7\nrouts: []\n") as sidecar:
        code, said = sidecar.ended()
    assert code == 1
    assert f"{sidecar.file}:2:1" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_no_socket(tmp_path: Path, number: signal.Signals) -> None:
    with Sidecar(tmp_path) as sidecar:
        sidecar.until_ready()
        assert answers(sidecar.socket)
        assert sidecar.end(number) == (0, "")
        assert not sidecar.socket.exists()


def test_what_a_killed_sidecar_left_is_taken_over(tmp_path: Path) -> None:
    with Sidecar(tmp_path) as killed:
        killed.until_ready()
        killed.end(signal.SIGKILL)
    assert killed.socket.exists()
    with Sidecar(tmp_path) as successor:
        successor.until_ready()
        assert answers(successor.socket)


def test_without_a_token_nobody_reads_the_plan(tmp_path: Path) -> None:
    with Sidecar(tmp_path, token=None) as sidecar:
        sidecar.until_ready()
        assert sidecar.get("/plan")[0] == 401
        assert sidecar.get("/healthz")[0] == 200
