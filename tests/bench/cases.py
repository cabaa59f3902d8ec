"""What is compared: the same Envoy and upstream, with no call, with an empty one, and with the gateway's.

The empty server is measured twice: as any server of grpc.aio is scheduled, and as the sidecar is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from extproc.app.project import read_project
from extproc.bootstrap.build import build_bootstrap
from extproc.bootstrap.names import ROUTER
from extproc.bootstrap.render import render
from extproc.core import api_key
from extproc.core.names import sidecar_sockets
from tests.free_ports import free_port

EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
PLAIN, EMPTY, FUSED = "plain Envoy", "empty ext_authz", "fused route"
EMPTY_BATCH: Final = "empty, SCHED_BATCH"  # as `extproc serve` asks to be scheduled
KEY: Final = api_key.spell(bytes(range(api_key.RANDOM_BYTES)))
HEAD: Final = """\
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
tiers: {{premium: {{rate: 1000000000/s}}}}
models:
  recommend:
    sticky: consumer
    versions: {{v1: {{upstream: v1, weight: 90}}, v2: {{upstream: v2, weight: 10}}}}
"""
# A fixed upstream, and a call that only says yes: what the call itself costs.
ASKED: Final = 'routes: [{name: asked, match: {path_prefix: /}, upstream: v1, authenticate: none, authorize: "true"}]\n'
WHOLE: Final = """\
routes:
  - name: fused
    match: {path_prefix: /}
    model: recommend
    authenticate: partners
    authorize: 'request.method == "GET" || "orders:write" in consumer.scopes'
    limits: [tier]
"""
# What a client and a proxy in front of it usually send.
HEADERS: Final[Mapping[str, str]] = {
    "x-api-key": KEY,
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "accept": "application/json",
    "accept-language": "en-GB,en;q=0.9",
    "accept-encoding": "gzip, deflate, br",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One Envoy with its sidecar, where it has one. `folder` holds its files."""

    name: str
    folder: Path
    port: int
    admin: int
    sidecar: list[str] = field(default_factory=list)

    @property
    def bootstrap(self) -> Path:
        return self.folder / "bootstrap.yaml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/recommend?user=u1"


def make_cases(folder: Path, upstream: str) -> list[Case]:
    return [
        _plain(folder / "plain", upstream),
        _empty(EMPTY, folder / "empty", upstream),
        _empty(EMPTY_BATCH, folder / "batch", upstream, "--batch"),
        _fused(folder / "fused", upstream),
    ]


def _plain(folder: Path, upstream: str) -> Case:
    """Every filter gone but the router: Envoy as a reverse proxy and nothing more."""
    case, bootstrap = _made(PLAIN, folder, upstream, ASKED)
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    manager["http_filters"] = [item for item in manager["http_filters"] if item["name"] == ROUTER]
    for host in manager["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route.pop("typed_per_filter_config", None)
    case.bootstrap.write_text(render(bootstrap))
    return case


def _empty(name: str, folder: Path, upstream: str, *options: str) -> Case:
    case, _ = _made(name, folder, upstream, ASKED)
    (folder / "run").mkdir()
    socket = sidecar_sockets(f"{folder}/run", 1)[0]
    case.sidecar.extend([sys.executable, "-m", "tests.bench.empty_server", socket, *options])
    return case


def _fused(folder: Path, upstream: str) -> Case:
    case, _ = _made(FUSED, folder, upstream, WHOLE)
    case.sidecar.extend([sys.executable, "-m", "extproc", "serve", str(folder / "gateway.yaml")])
    return case


def _made(name: str, folder: Path, upstream: str, routes: str) -> tuple[Case, dict[str, Any]]:
    folder.mkdir()
    case = Case(name, folder, free_port(), free_port())
    values = {"port": case.port, "admin": case.admin, "folder": folder, "upstream": upstream}
    (folder / "gateway.yaml").write_text(HEAD.format(sidecar_admin=free_port(), **values) + routes)
    entry = {"sha256": api_key.digest(KEY), "consumer": "bench", "tier": "premium", "scopes": ["orders:read"]}
    (folder / "keys.yaml").write_text(json.dumps({"keys": [entry]}))
    bootstrap = build_bootstrap(read_project(folder / "gateway.yaml", {}).plan)
    case.bootstrap.write_text(render(bootstrap))
    return case, bootstrap


def upstream_bootstrap(port: int, admin: int) -> dict[str, Any]:
    """An Envoy that answers everything by itself: an upstream that costs next to nothing, in a process of its own."""
    answer = {"direct_response": {"status": 200, "body": {"inline_string": '{"picks":["book","pen"]}'}}}
    routes = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **answer}]}]}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "route_config": routes,
        "http_filters": [{"name": ROUTER, "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "upstream", "address": _address(port), "filter_chains": [{"filters": filters}]}
    return {"admin": {"address": _address(admin)}, "static_resources": {"listeners": [listener]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
