"""An Envoy that somebody else configured, with its ratelimit filter at `extproc serve --ratelimit-config`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.app.envoy import find_envoy
from tests.app.rate_limits import RateLimits
from tests.e2e.clients import Client, Reply
from tests.e2e.harness import eventually, fetch
from tests.e2e.upstreams import Upstream, started
from tests.free_ports import free_ports

pytestmark = pytest.mark.e2e

FILE: Final = """
domain: shop
descriptors:
  - {{key: client, rate_limit: {{unit: year, requests_per_unit: {}, name: per-client}}}}
  - {{key: client, value: vip-*, rate_limit: {{unlimited: true}}}}
  - key: place
    value: cheap
    descriptors: [{{key: client, shadow_mode: true, rate_limit: {{unit: year, requests_per_unit: 0}}}}]
"""
TYPE: Final = "type.googleapis.com/envoy.extensions"
GRPC: Final = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
CLIENT: Final = {"request_headers": {"header_name": "x-client", "descriptor_key": "client"}}
PLACE: Final = {"generic_key": {"descriptor_key": "place", "descriptor_value": "cheap"}}


def cluster(name: str, address: str, **more: Any) -> Mapping[str, Any]:
    host, _, port = address.rpartition(":")
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}, **more,
    }  # fmt: skip


def bootstrap(port: int, admin: int, limits: str, upstream: str) -> str:
    """As the documentation of the filter shows it, but for a deadline that a busy machine keeps, and a failure that
    denies."""
    limit = {
        "@type": f"{TYPE}.filters.http.ratelimit.v3.RateLimit", "domain": "shop", "timeout": "5s",
        "failure_mode_deny": True, "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "limits"}}, "transport_api_version": "V3",
        },
    }  # fmt: skip
    router = {"@type": f"{TYPE}.filters.http.router.v3.Router"}
    routes = [
        {
            "match": {"prefix": prefix},
            "route": {"cluster": "upstream", "rate_limits": [{"actions": actions}]},
        }
        for prefix, actions in (("/cheap", [PLACE, CLIENT]), ("/", [CLIENT]))
    ]
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "limit", "typed_config": limit}, {"name": "router", "typed_config": router}],
    }  # fmt: skip
    listener = {
        "name": "public", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }  # fmt: skip
    check = {
        "timeout": "1s", "interval": "0.5s", "no_traffic_interval": "0.5s", "healthy_threshold": 1,
        "unhealthy_threshold": 1, "grpc_health_check": {"service_name": "ratelimit"},
    }  # fmt: skip
    own = cluster("limits", limits, typed_extension_protocol_options=GRPC, health_checks=[check])
    return json.dumps({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {"listeners": [listener], "clusters": [own, cluster("upstream", upstream)]},
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class Foreign:
    """What runs: Envoy's client and admin port, the service, its folder, and who is behind."""

    client: Client
    admin: int
    limits: RateLimits
    upstream: Upstream

    def get(self, path: str, client: str) -> Reply:
        return self.client.get(path, ("x-client", client))

    def healthy(self) -> int:
        text = fetch(f"http://127.0.0.1:{self.admin}/stats?filter=^cluster.limits.membership_healthy$")
        return int(text.rpartition(":")[2]) if text.strip() else -1


@contextmanager
def running(folder: Path) -> Iterator[Foreign]:
    files = folder / "limits"
    files.mkdir()
    (files / "shop.yaml").write_text(FILE.format(3))
    port, admin = free_ports(2)
    with started("only") as (upstream,), RateLimits(files) as limits:
        limits.event("ready")
        written = folder / "bootstrap.json"
        written.write_text(bootstrap(port, admin, limits.address, upstream.address))
        command = [find_envoy(), "-c", str(written), "--disable-hot-restart", "--log-level", "error"]
        with (folder / "envoy.log").open("wb") as log:
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            foreign = Foreign(Client(port), admin, limits, upstream)
            eventually(lambda: foreign.healthy() == 1, "Envoy finds the service healthy")
            yield foreign
        finally:
            envoy.terminate()
            envoy.wait(10)


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Foreign]:
    with running(tmp_path) as one:
        yield one


def test_a_limit_is_429_and_a_change_of_the_files_is_seen(foreign: Foreign) -> None:
    replies = [foreign.get("/a", "ann") for _ in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert [reply.header("x-ratelimit-remaining") for reply in replies] == ["2", "1", "0", "0", "0"]
    assert replies[0].header("x-ratelimit-limit") == '3, 3;w=31536000;name="per-client"'
    assert len(foreign.upstream.received) == 3
    assert foreign.get("/a", "bob").status == 200
    assert [foreign.get("/a", "vip-1").status for _ in range(5)] == [200] * 5
    (foreign.limits.folder / "shop.yaml").write_text(FILE.format(6))
    foreign.limits.event("limits_loaded")
    assert [foreign.get("/a", "ann").status for _ in range(2)] == [200, 429]  # the five before stay counted


def test_a_limit_in_shadow_mode_lets_everybody_pass(foreign: Foreign) -> None:
    assert [foreign.get("/cheap", "ann").status for _ in range(3)] == [200] * 3


def test_a_service_that_has_left_is_a_denial_where_the_filter_says_so(foreign: Foreign) -> None:
    assert foreign.get("/a", "ann").status == 200
    foreign.limits.process.terminate()
    eventually(lambda: foreign.healthy() == 0, "Envoy hears that the service is leaving")
    assert foreign.limits.process.poll() is None, "it was to be heard before it left"
    assert foreign.limits.process.wait(10) == 0
    assert foreign.get("/a", "ann").status == 500
