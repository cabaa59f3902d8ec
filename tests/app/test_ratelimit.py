"""A rate limit service from its start to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.app import ratelimit
from extproc.app.ports import listen
from extproc.plan.model import Endpoint
from extproc.services.ratelimit import SERVICE
from extproc.wire.ratelimit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse
from tests.app.rate_limits import RateLimits
from tests.certificates import Authority, dns
from tests.config.test_ratelimit_folder import config_map
from tests.free_ports import free_port
from tests.redis_servers import PASSWORD, RedisServer

FILE = """
domain: shop
descriptors:
  - {{key: per, rate_limit: {{unit: year, requests_per_unit: {}}}}}
  - {{key: all, rate_limit: {{unlimited: true}}, quota_mode: true}}
"""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(FILE.format(2))
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[RateLimits]:
    with RateLimits(folder) as limits:
        limits.event("ready")
        yield limits


def asked(address: str, value: str = "x") -> RateLimitResponse:
    entry = RateLimitDescriptor.Entry(key="per", value=value)
    call = RateLimitRequest(domain="shop", descriptors=[RateLimitDescriptor(entries=[entry])])
    with grpc.insecure_channel(address) as channel:
        spell = RateLimitRequest.SerializeToString
        stub = channel.unary_unary(f"/{SERVICE}/ShouldRateLimit", spell, RateLimitResponse.FromString)
        answer: RateLimitResponse = stub(call, timeout=20)
    return answer


def test_grpc_and_json_count_the_same_hits(running: RateLimits) -> None:
    assert asked(running.address).statuses[0].limit_remaining == 1
    assert [running.judge("shop", "per") for _ in range(2)] == [200, 429]
    assert asked(running.address).overall_code == RateLimitResponse.OVER_LIMIT


def test_what_is_in_force_is_listed_and_counted(running: RateLimits) -> None:
    for _ in range(3):
        running.judge("shop", "per")
    running.judge("elsewhere", "per")
    assert running.ask("GET", "/rlconfig") == (
        200,
        (
            "shop.per: unit=YEAR requests_per_unit=2, shadow_mode: false, quota_mode: false\n"
            "shop.all: unit=UNKNOWN requests_per_unit=0, shadow_mode: false, quota_mode: true, unlimited: true\n"
        ),
    )
    metrics = running.ask("GET", "/metrics")[1]
    for line in (
        'extproc_ratelimit_hits_total{descriptor="shop.per",domain="shop"} 3.0',
        'extproc_ratelimit_within_limit_total{descriptor="shop.per",domain="shop"} 2.0',
        'extproc_ratelimit_near_limit_total{descriptor="shop.per",domain="shop"} 1.0',
        'extproc_ratelimit_over_limit_total{descriptor="shop.per",domain="shop"} 1.0',
        'extproc_ratelimit_domain_not_found_total{domain="elsewhere"} 1.0',
        'extproc_store_operations_total{result="counted",store="memory"} 3.0',
        'extproc_store_counters{store="memory"} 1.0',
        'extproc_config_reloads_total{result="success"} 1.0',
    ):
        assert line in metrics
    assert 'decision="deny",policy="limit",reason="rate_limited",route="shop",service="ratelimit"} 1.0' in metrics
    assert 'decision="allow",policy="",reason="allowed",route="unknown",service="ratelimit"} 1.0' in metrics


def test_a_change_of_the_files_is_in_force_without_a_restart(running: RateLimits, folder: Path) -> None:
    assert [running.judge("shop", "per") for _ in range(3)] == [200, 200, 429]
    (folder / "shop.yaml").write_text(FILE.format(5))
    assert running.event("limits_loaded")["domains"] == 1
    assert [running.judge("shop", "per") for _ in range(3)] == [200, 200, 429]  # the three before are counted on
    (folder / "bad.yaml").write_text("domain: shop\n")
    refused = running.event("limits_refused")
    assert (refused["error"], refused["line"]) == ("shop.yaml: duplicate domain 'shop' in config file", 2)
    assert running.judge("shop", "per", "another") == 200
    assert 'extproc_config_reloads_total{result="failure"} 1.0' in running.ask("GET", "/metrics")[1]


def test_a_config_map_that_is_swapped_is_in_force(tmp_path: Path) -> None:
    config_map(tmp_path, "v1", shop="shop")
    with RateLimits(tmp_path) as limits:
        limits.event("ready")
        config_map(tmp_path, "v2", shop="other")
        limits.event("limits_loaded")
        assert limits.ask("GET", "/healthcheck") == (200, "OK")


def health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    return int(answer.status)


def test_it_leaves_in_order_and_answers_until_it_has_left(running: RateLimits) -> None:
    assert health(running.address) == SERVING
    running.process.terminate()
    running.event("stopping")
    assert health(running.address) == NOT_SERVING
    assert running.ask("GET", "/healthcheck")[0] == 500
    assert asked(running.address).overall_code == RateLimitResponse.OK
    assert running.end() == (0, "")


def test_without_any_limit_it_answers_and_is_not_ready(tmp_path: Path) -> None:
    with RateLimits(tmp_path) as limits:
        limits.event("ready")
        assert health(limits.address) == NOT_SERVING
        assert limits.ask("GET", "/readyz")[0] == 503
        assert asked(limits.address).overall_code == RateLimitResponse.OK
        (tmp_path / "shop.yaml").write_text(FILE.format(2))
        limits.event("limits_loaded")
        assert limits.ask("GET", "/readyz")[0] == 200


def test_every_option_takes_effect(folder: Path) -> None:
    (folder / "more.yaml").write_text("domain: shop\ndescriptors: [{key: none, rate_limit: {unit: day}}]\n")
    options = (
        "--merge-domains", "--shadow-mode", "--near-limit-ratio", "0", "--dynamic-metadata",
        "--response-headers", "A-Limit,A-Left,A-Reset",
    )  # fmt: skip
    with RateLimits(folder, options) as limits:
        limits.event("ready")
        answer = asked(limits.address)
        assert [header.key for header in answer.response_headers_to_add] == ["A-Limit", "A-Left", "A-Reset"]
        assert answer.dynamic_metadata["domain"] == "shop"
        assert limits.judge("shop", "none") == 200
        metrics = limits.ask("GET", "/metrics")[1]
        assert 'extproc_ratelimit_near_limit_total{descriptor="shop.per",domain="shop"} 1.0' in metrics
        assert "extproc_ratelimit_global_shadow_mode_total 1.0" in metrics


def test_with_the_quota_mode_one_limit_that_is_over_refuses_nobody(folder: Path) -> None:
    with RateLimits(folder, ("--quota-mode",)) as limits:
        limits.event("ready")
        per = {"entries": [{"key": "per", "value": "x"}]}
        nobody = {"entries": [{"key": "nobody", "value": "x"}]}
        body = str({"domain": "shop", "descriptors": [per, nobody], "hitsAddend": 9}).replace("'", '"')
        assert limits.ask("POST", "/json", body)[0] == 200
        assert limits.judge("shop", "per") == 429


def test_the_admin_address_that_nobody_asked_for_is_done_without_where_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    with listen(Endpoint("127.0.0.1", 0)) as taken:
        address = Endpoint("127.0.0.1", taken.getsockname()[1])
        monkeypatch.setattr(ratelimit, "ADMIN", address)
        assert ratelimit.admin_socket(None, lambda event, **said: told.append(f"{event}: {said['error']}")) is None
        assert told == [f"no_admin_address: {address} cannot be used: Address already in use"]
        with pytest.raises(OSError, match="cannot be used"):
            ratelimit.admin_socket(address, told.append)


def test_two_processes_share_the_counters_of_a_redis_and_neither_decides_without_it(
    folder: Path, tmp_path: Path
) -> None:
    with (
        RedisServer(tmp_path, PASSWORD) as redis,
        RateLimits(folder, store=redis.url) as one,
        RateLimits(folder, store=redis.url) as other,
    ):
        for limits in (one, other):
            limits.event("ready")
            eventually_serving(limits)
        assert [limits.judge("shop", "per") for limits in (one, other, one, other)] == [200, 200, 429, 429]
        redis.stop()
        assert one.judge("shop", "per") == 503
        assert one.event("store_lost")["store"] == "limits"
        with pytest.raises(grpc.RpcError) as raised:
            asked(one.address)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        redis.start()
        one.event("store_found")
        assert one.judge("shop", "per") == 200
        metrics = one.ask("GET", "/metrics")[1]
        assert 'extproc_store_operations_total{result="unavailable",store="redis"}' in metrics
        assert 'extproc_events_total{event="store_lost"} 1.0' in metrics


async def admitted(addresses: Sequence[str], calls: int) -> int:
    """How many of so many calls at once are."""
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    entry = RateLimitDescriptor.Entry(key="per", value="x")
    call = RateLimitRequest(domain="shop", descriptors=[RateLimitDescriptor(entries=[entry])])
    spell = RateLimitRequest.SerializeToString
    stubs = [one.unary_unary(f"/{SERVICE}/ShouldRateLimit", spell, RateLimitResponse.FromString) for one in channels]
    answers = await asyncio.gather(*(stubs[n % len(stubs)](call, timeout=20) for n in range(calls)))
    for channel in channels:
        await channel.close()
    return sum(answer.overall_code == RateLimitResponse.OK for answer in answers)


async def test_of_a_hundred_calls_at_once_exactly_as_many_are_admitted_as_the_limit_says(folder: Path) -> None:
    (folder / "shop.yaml").write_text(FILE.format(5))
    with RateLimits(folder) as limits:
        limits.event("ready")
        assert await admitted([limits.address], 100) == 5


async def test_of_a_hundred_calls_at_once_to_two_processes_as_many_are_admitted_as_to_one(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "shop.yaml").write_text(FILE.format(5))
    with (
        RedisServer(tmp_path) as redis,
        RateLimits(folder, store=redis.url) as one,
        RateLimits(folder, store=redis.url) as other,
    ):
        for limits in (one, other):
            limits.event("ready")
            eventually_serving(limits)
        assert await admitted([one.address, other.address], 100) == 5


def eventually_serving(limits: RateLimits) -> None:
    with grpc.insecure_channel(limits.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(answer for answer in watch if answer.status == SERVING)
        watch.cancel()


def test_the_password_of_a_redis_and_the_values_of_descriptors_are_written_nowhere(
    folder: Path, tmp_path: Path
) -> None:
    with RateLimits(folder, store=f"redis://:{PASSWORD}@127.0.0.1:{free_port()}") as limits:
        lost = limits.event("store_lost")
        assert limits.judge("shop", "per", "a-value-of-a-client") == 503
        limits.process.terminate()
        written, said = limits.process.communicate(timeout=20)
    log = json.dumps(lost).encode() + written + said
    assert b'"reason":"store_unavailable"' in log
    assert PASSWORD.encode() not in log
    assert b"a-value-of-a-client" not in log


def test_without_its_redis_it_is_not_ready_and_answers_unavailable(folder: Path, tmp_path: Path) -> None:
    with RateLimits(folder, store=f"unix://{tmp_path}/nobody.sock") as limits:
        limits.event("ready")
        assert health(limits.address) == NOT_SERVING
        assert limits.judge("shop", "per") == 503
        assert limits.judge("shop", "all") == 200  # what is unlimited needs no counter


async def test_with_a_certificate_it_speaks_tls_alone(folder: Path, tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue(dns("limits.test")).write(tmp_path, "server")
    with RateLimits(folder, ("--tls-cert", str(certificate), "--tls-key", str(key))) as limits:
        limits.event("ready")
        credentials = grpc.ssl_channel_credentials(authority.pem)
        options = [("grpc.ssl_target_name_override", "limits.test")]
        async with grpc.aio.secure_channel(limits.address, credentials, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)).status == SERVING
        with pytest.raises(grpc.RpcError):
            asked(limits.address)


def test_a_unix_socket_is_an_address_too(folder: Path, tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/limits.sock"
    with RateLimits(folder, ("--address", path)) as limits:
        limits.event("ready")
        assert asked(path).overall_code == RateLimitResponse.OK
