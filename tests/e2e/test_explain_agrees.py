"""`extproc explain` against the gateway that serves the same file: what it says is what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from extproc.app.explain import explain
from extproc.app.explanation import BY_ENVOY, Explanation
from extproc.app.project import read_project
from extproc.core.headers import Headers
from extproc.core.message import Request
from tests.e2e.demo_gateway import ROOT, Demo, running_demo

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("explained")) as running:
        yield running


def explained(demo: Demo, target: str, headers: Mapping[str, str], method: str) -> Explanation:
    work = demo.folder / ".extproc"
    files = {"JWKS_FILE": str(work / "jwks.json"), "KEYS_FILE": str(work / "keys.yaml")}
    path, _, query = target.partition("?")
    # What http.client sends by itself.
    fields = Headers.of({"accept-encoding": "identity", **headers})
    request = Request(method, path, f"127.0.0.1:{demo.ports[0]}", query, headers=fields, address="127.0.0.1")
    return asyncio.run(explain(read_project(ROOT / "compose" / "demo" / "gateway.yaml", files), request))


@pytest.mark.parametrize(
    ("target", "who", "extra", "method"),
    [
        ("/api/v2/echo?a=b", "PREMIUM_KEY", {"x-consumer-id": "admin", "user-agent": "me"}, "GET"),
        ("//api/./v2/echo/%7Ex", "PREMIUM_JWT", {"x-original-url": "/admin", "x-own": "1"}, "DELETE"),
        ("/api/v2/echo", "PREMIUM_KEY", {"user-agent": "BadBot"}, "GET"),
        ("/api/v2/echo", "", {}, "GET"),
        ("/api/v2/echo", "PREMIUM_KEY", {"authorization": "Bearer x"}, "GET"),
        ("/api/v1/orders", "FREE_JWT", {}, "GET"),
        ("/api/v1/orders", "PREMIUM_JWT", {}, "GET"),
        ("/api/v1/orders", "PREMIUM_KEY", {}, "GET"),
        ("/api/v1/recommend", "PREMIUM_KEY", {}, "GET"),
        ("/public/status", "", {}, "GET"),
        ("/public/status", "", {}, "POST"),
        ("/nowhere", "PREMIUM_KEY", {}, "GET"),
        ("/api/v2%2fecho", "PREMIUM_KEY", {}, "GET"),
        ("/api/v2/echo", "PREMIUM_KEY", {"x_odd": "1"}, "GET"),
    ],
)
def test_what_it_says_is_what_happens(demo: Demo, target: str, who: str, extra: Mapping[str, str], method: str) -> None:
    credential = {} if not who else demo.as_token(who) if who.endswith("JWT") else demo.as_key(who)
    headers = {**credential, **extra}
    said = explained(demo, target, headers, method)
    answer = demo.get(target, headers, method)
    if said.upstream is None:
        assert answer.status == said.status
        assert said.decision == "redirect" or answer.json["reason"] == said.reason
        return
    assert answer.status == 200
    if said.route == "echo":
        seen = sorted((name.lower(), value) for name, value in answer.json["headers"] if name.lower() not in BY_ENVOY)
        assert seen == sorted(said.upstream.headers)
        assert (answer.json["method"], answer.json["path"]) == (said.upstream.method, said.upstream.path)
    told = dict(said.client_headers)
    assert {name: answer.headers[name] for name in told if not name.startswith("ratelimit")} == {
        name: value for name, value in told.items() if not name.startswith("ratelimit")
    }
