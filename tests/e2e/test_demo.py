"""The demo gateway, from outside, through the real Envoy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from extproc.app.clock import SystemClock
from extproc.app.demo import make_token
from tests import redis_groups
from tests.e2e.demo_gateway import ROOT, Answer, Demo, running_demo, wait_until
from tests.e2e.talkers import events_of

pytestmark = pytest.mark.e2e
CHAT = "/api/v1/chat/completions"
NAMES = {"GATEWAY", "ADMIN", "ADMIN_TOKEN", "FREE_KEY", "PREMIUM_KEY", "FREE_JWT", "PREMIUM_JWT"}


@pytest.fixture(scope="module", params=["memory", "redis"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The same file, whether its limits are counted in the sidecar or in a Redis."""
    store = {} if request.param == "memory" else {"COUNTERS": f"redis://127.0.0.1:{redis_groups.one().port}/1"}
    with running_demo(tmp_path_factory.mktemp("demo"), store) as running:
        yield running


def bearer(demo: Demo, consumer: str, tier: str, *scopes: str) -> dict[str, str]:
    token = make_token(demo.folder / ".extproc", SystemClock(), consumer, tier, scopes)
    return {"authorization": f"Bearer {token}"}


def test_demo_env_names_everything_and_only_its_owner_may_read_it(demo: Demo) -> None:
    assert set(demo.environment) == NAMES
    for file in ("demo.env", "keys.yaml", "demo-signing-key.pem"):
        assert (demo.folder / ".extproc" / file).stat().st_mode & 0o077 == 0


def test_the_key_file_holds_no_key(demo: Demo) -> None:
    text = (demo.folder / ".extproc" / "keys.yaml").read_text()
    assert demo.environment["FREE_KEY"] not in text
    assert demo.environment["PREMIUM_KEY"] not in text


def test_nobody_is_let_in_without_a_credential(demo: Demo) -> None:
    answer = demo.get("/api/v2/users")
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["reason"] == "no_credentials"
    assert "Bearer" in answer.headers["www-authenticate"]


def test_a_key_opens_the_users_and_tells_its_limit(demo: Demo) -> None:
    answer = demo.get("/api/v2/users", demo.as_key("FREE_KEY"))
    assert answer.status == 200
    assert (answer.json["service"], answer.json["version"]) == ("users", "v2")
    assert answer.headers["ratelimit-policy"] == '"tier";q=10;w=1'
    assert answer.headers["ratelimit"].startswith('"tier";r=')


def test_users_of_the_old_version_are_made_from_the_new_one_and_say_until_when(demo: Demo) -> None:
    for caller in (demo.as_key("PREMIUM_KEY"), demo.as_token("PREMIUM_JWT")):
        answer = demo.get("/api/v1/users", caller)
        assert answer.status == 200
        assert (answer.json["version"], answer.json["items"][0]) == ("v1", {"id": "u1", "username": "Ada"})
        assert "users" not in answer.json
        assert answer.headers["deprecation"] == "@1767225600"
        assert answer.headers["sunset"] == "Thu, 01 Jan 2099 00:00:00 GMT"
        assert answer.headers["link"] == '</api/v2/users>; rel="successor-version"'


def test_home_is_one_answer_of_three_for_a_key_and_for_a_token(demo: Demo) -> None:
    for caller, who in (
        (demo.as_key("PREMIUM_KEY"), "premium-by-key"),
        (demo.as_token("PREMIUM_JWT"), "premium-by-jwt"),
    ):
        answer = demo.get("/api/v1/home", caller)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert {name: part["service"] for name, part in answer.json.items()} == {
            "profile": "users", "orders": "orders", "picks": "recommend",
        }  # fmt: skip
        assert answer.json["profile"]["id"] == who
        assert answer.headers["ratelimit-policy"].startswith('"tier";q=200')
    assert demo.get("/api/v1/home").status == 401


def test_home_comes_in_lines_where_that_is_asked_for(demo: Demo) -> None:
    answer = demo.get("/api/v1/home", demo.as_key("PREMIUM_KEY") | {"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert {line.get("part") for line in lines[:-1]} == {"profile", "orders", "picks"}
    assert lines[-1] == {"done": True}


def test_a_token_opens_the_users_too(demo: Demo) -> None:
    assert demo.get("/api/v2/users", demo.as_token("FREE_JWT")).status == 200


def test_a_key_and_a_token_at_once_are_refused(demo: Demo) -> None:
    answer = demo.get("/api/v2/users", demo.as_key("PREMIUM_KEY") | demo.as_token("PREMIUM_JWT"))
    assert (answer.status, answer.json["reason"]) == (401, "several_credentials")


def test_no_more_than_burst_and_rate_are_admitted(demo: Demo) -> None:
    started = time.monotonic()
    headers = bearer(demo, "hasty", "free")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: demo.get("/api/v2/users", headers), range(40)))
    elapsed = time.monotonic() - started
    admitted = sum(answer.status == 200 for answer in answers)
    refused = [answer for answer in answers if answer.status == 429]
    assert admitted + len(refused) == 40
    assert 10 <= admitted <= 10 + 10 * elapsed
    assert refused or elapsed >= 3, "forty requests fit into burst and rate only after three seconds"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert all(answer.json["reason"] == "rate_limited" for answer in refused)


def test_a_limit_is_counted_over_all_routes(demo: Demo) -> None:
    headers = bearer(demo, "everywhere", "free")
    paths = ["/api/v2/users", "/api/v1/recommend", "/api/v2/echo"] * 10
    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        statuses = Counter(answer.status for answer in pool.map(lambda path: demo.get(path, headers), paths))
    assert statuses[200] <= 10 + 10 * (time.monotonic() - started)


def test_orders_need_the_scope(demo: Demo) -> None:
    answer = demo.get("/api/v1/orders", demo.as_token("FREE_JWT"))
    assert (answer.status, answer.json["reason"]) == (403, "not_authorized")
    assert "x-shop-edited" not in answer.headers, "a refusal is not an answer to be edited"


def test_an_order_is_edited_on_its_way(demo: Demo) -> None:
    answer = demo.get("/api/v1/orders", demo.as_token("PREMIUM_JWT"))
    assert answer.status == 200
    assert answer.json["service"] == "orders"
    assert answer.json["served_by"] == "extproc route orders-v1"
    assert answer.headers["x-shop-edited"] == "true"
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_an_order_cannot_be_had_with_a_key(demo: Demo) -> None:
    assert demo.get("/api/v1/orders", demo.as_key("PREMIUM_KEY")).status == 401


def test_two_hundred_consumers_split_near_ninety_to_ten_and_each_stays(demo: Demo) -> None:
    def versions(number: int) -> tuple[str, str]:
        headers = bearer(demo, f"caller-{number}", "premium")
        answers = [demo.get("/api/v1/recommend", headers) for _ in range(2)]
        assert all(answer.headers["x-model-version"] == answer.json["version"] for answer in answers)
        return answers[0].json["version"], answers[1].json["version"]

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(versions, range(200)))
    assert all(first == second for first, second in seen)
    moved = sum(first == "v2" for first, _ in seen)
    assert 8 <= moved <= 34, "200 draws of 10 % are outside this once in a thousand; and they are always the same draws"


def test_the_demos_own_policy_refuses_one_client_and_serves_the_others(demo: Demo) -> None:
    key = demo.as_key("PREMIUM_KEY")
    refused = demo.get("/api/v2/echo", key | {"user-agent": "Mozilla/5.0 (compatible; badbot/2.1)"})
    assert (refused.status, refused.json["reason"]) == (403, "blocked_agent")
    assert demo.get("/api/v2/echo", key | {"user-agent": "curl/8"}).status == 200


def test_the_echo_shows_no_header_that_a_client_forged(demo: Demo) -> None:
    forged = {
        "x-consumer-id": "admin", "x-consumer-tier": "gold", "x-consumer-anything": "1",
        "x-extproc-cluster": "upstream.recommend-v2", "x-extproc-anything": "1", "x-envoy-original-path": "/admin",
    }  # fmt: skip
    answer = demo.get("/api/v2/echo?a=b", demo.as_key("PREMIUM_KEY") | forged)
    seen = [(name.lower(), value) for name, value in answer.json["headers"]]
    consumers = [(name, value) for name, value in seen if name.startswith("x-consumer-")]
    assert consumers == [("x-consumer-id", "premium-by-key"), ("x-consumer-tier", "premium")]
    assert not [name for name, _ in seen if name.startswith("x-extproc-") or name == "x-envoy-original-path"]
    assert not [name for name, _ in seen if name in ("x-api-key", "authorization")]
    assert (answer.json["method"], answer.json["path"]) == ("GET", "/api/v2/echo?a=b")


def test_a_public_route_is_limited_by_address(demo: Demo) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        answers = list(pool.map(lambda _: demo.get("/public/status"), range(200)))
    elapsed = time.monotonic() - started
    admitted = sum(answer.status == 200 for answer in answers)
    refused = [answer for answer in answers if answer.status == 429]
    assert admitted + len(refused) == 200
    assert admitted <= 10 + 50 * elapsed
    assert refused or elapsed >= 3
    assert all(answer.headers["retry-after"] and answer.json["limit"] == "address-0" for answer in refused)


def test_what_matches_nothing_is_not_found(demo: Demo) -> None:
    answer = demo.get("/api/v3/users", demo.as_key("PREMIUM_KEY"))
    assert (answer.status, answer.json["reason"]) == (404, "no_route")


def test_decision_record_access_log_and_answer_have_the_same_request_id(demo: Demo) -> None:
    request_id = demo.get("/api/v1/orders", demo.as_token("PREMIUM_JWT")).headers["x-request-id"]

    def recorded(file: str) -> list[dict[str, object]]:
        return [line for line in demo.lines(file) if line.get("request_id") == request_id]

    wait_until(lambda: recorded("envoy.log") and recorded("decisions.jsonl"), 15)
    assert {record["service"] for record in recorded("decisions.jsonl")} == {"ext_authz", "ext_proc"}
    logged = recorded("envoy.log")[0]
    assert (logged["route"], logged["status"], logged["consumer"]) == ("orders-v1", 200, "premium-by-jwt")


def test_a_rate_limit_record_has_the_request_id_as_well(demo: Demo) -> None:
    request_id = demo.get("/public/status").headers["x-request-id"]
    wait_until(lambda: any(line.get("request_id") == request_id for line in demo.lines("decisions.jsonl")), 15)


def test_no_credential_is_in_any_log(demo: Demo) -> None:
    for name in ("FREE_KEY", "PREMIUM_KEY", "FREE_JWT", "PREMIUM_JWT"):
        demo.get(f"/api/v2/users?key={demo.environment[name]}", demo.as_key("FREE_KEY"))
    logs = [*(demo.folder / ".extproc").glob("*.log"), demo.folder / ".extproc" / "decisions.jsonl"]
    text = "".join(file.read_text("utf-8", "replace") for file in logs)
    assert not [name for name in NAMES - {"GATEWAY", "ADMIN"} if demo.environment[name] in text]


def test_the_token_command_prints_a_token_that_works(demo: Demo) -> None:
    arguments = ["demo", "token", "--consumer", "ada", "--tier", "premium", "--scope", "orders:read"]
    printed = subprocess.run(
        [sys.executable, "-m", "extproc", *arguments], cwd=demo.folder, check=True, capture_output=True, text=True,
        env={"PYTHONPATH": str(ROOT)},
    ).stdout.strip()  # fmt: skip
    answer = demo.get("/api/v1/orders", {"authorization": f"Bearer {printed}"})
    assert answer.status == 200


def test_each_pasteable_line_gives_what_it_promises(demo: Demo) -> None:
    """The banner's own commands, run by a shell."""
    lines = [line.strip() for line in demo.output.splitlines()]
    promised = {line: lines[at + 1] for at, line in enumerate(lines) if line.startswith("# ")}
    outputs = {
        promise: subprocess.run(
            ["bash", "-c", line], cwd=demo.folder, capture_output=True, text=True, check=True
        ).stdout
        for promise, line in promised.items()
    }
    assert len(outputs) == 6
    for promise, output in outputs.items():
        status = promise.removeprefix("# ")[:3]
        if status.isdigit():
            assert status in (output.split()[1] if output.startswith("HTTP/") else output), promise
    assert any("x-model-version: v" in output for output in outputs.values())
    assert any("x-shop-edited: true" in output and "served_by" in output for output in outputs.values())


def test_the_screen_shows_a_line_per_decision(demo: Demo) -> None:
    answer = demo.get("/api/v2/users", demo.as_key("PREMIUM_KEY"))
    assert answer.status == 200
    wait_until(lambda: "premium-by-key (premium)" in demo.output, 10)


def test_the_admin_address_is_healthy_and_keeps_its_plan_to_itself(demo: Demo) -> None:
    admin = Demo(demo.folder, demo.process, (demo.ports[1], 0, 0))
    assert admin.get("/healthz").status == 200
    assert admin.get("/readyz").status == 200
    assert admin.get("/plan").status == 401
    token = {"authorization": f"Bearer {demo.environment['ADMIN_TOKEN']}"}
    calls = {route["name"]: route["calls"] for route in admin.get("/plan", token).json["routes"]}
    assert calls == {
        "users-v2": 1,
        "users-v1": 2,
        "orders-v1": 2,
        "recommend": 1,
        "echo": 1,
        "status": 1,
        "home": 2,
        "chat": 2,
    }


def _keep(answers: list[Answer], answer: Answer) -> bool:
    answers += [answer] if answer.status == 200 else []
    return answer.status == 200


def test_the_credentials_are_those_of_four_callers(demo: Demo) -> None:
    credentials = [demo.as_key(name) for name in ("FREE_KEY", "PREMIUM_KEY")]
    credentials += [demo.as_token(name) for name in ("FREE_JWT", "PREMIUM_JWT")]
    bodies: list[Answer] = []
    for credential in credentials:
        # Other tests use these callers too: wait until the limit lets one more through.
        wait_until(lambda header=credential: _keep(bodies, demo.get("/api/v2/echo", header)), 10)
    consumers = {value for answer in bodies for name, value in answer.json["headers"] if name == "x-consumer-id"}
    assert consumers == {"free-by-key", "premium-by-key", "free-by-jwt", "premium-by-jwt"}


def chat(demo: Demo, caller: dict[str, str], **asked: object) -> Answer:
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "?"}], **asked}).encode()
    return demo.get(CHAT, caller | {"content-type": "application/json"}, "POST", body)


def test_a_chat_takes_a_key_or_a_token_and_answers_whole_or_as_it_is_made(demo: Demo) -> None:
    for caller in (demo.as_key("PREMIUM_KEY"), demo.as_token("PREMIUM_JWT")):
        answer = chat(demo, caller, max_tokens=4)
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == "The shop is open"
        streamed = chat(demo, caller, max_tokens=4, stream=True, stream_options={"include_usage": True})
        assert (streamed.status, streamed.headers["content-type"]) == (200, "text/event-stream")
        events = events_of(streamed.body)
        assert "".join(one["choices"][0]["delta"].get("content", "") for one in events[:-2]) == "The shop is open "
        assert (events[-2]["usage"], events[-1]) == (answer.json["usage"], "[DONE]")


def test_a_chat_is_nobodys_without_a_credential(demo: Demo) -> None:
    assert chat(demo, {}).status == 401


def test_a_chat_ends_where_its_budget_does_and_the_next_one_is_refused(demo: Demo) -> None:
    caller = bearer(demo, "talkative", "premium")
    events = events_of(chat(demo, caller, max_tokens=300, stream=True).body)
    assert (events[-2]["choices"][0]["finish_reason"], events[-1]) == ("length", "[DONE]")
    assert 0 < len(events) - 2 < 200
    refused = chat(demo, caller)
    assert (refused.status, refused.json["limit"]) == (429, "consumer-1")
    assert chat(demo, bearer(demo, "quiet", "premium")).status == 200
