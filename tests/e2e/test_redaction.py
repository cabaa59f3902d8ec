"""No secret is written down: every one of tests/e2e/canaries.py is planted, and all that is written is searched."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from extproc.app.project import build_gateway, read_project
from tests.e2e.canaries import ANSWERED, GOOD, HERE, KEPT, LEAKED, SECOND, SENT, Sent, canary, leaks, secrets
from tests.e2e.clients import Reply
from tests.e2e.credentials import AUTHENTICATION, FREE, key_set
from tests.e2e.harness import FENCE, HEAD, RunningGateway, child_processes, eventually, fetch
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

POLICIES: Final = '''
from extproc import CONTINUE, Continue, CouldNotDecide, HeaderEdits, Phase, Policy, Secret, Settings, Url, refusal


class Deep(Settings):
    token: Secret
    url: Url = "https://id.example"


class SaysSettings(Settings):
    what: str
    key: Secret
    deep: list[Deep] = []


def error(cause):
    raise cause


WAYS = {
    "raises": lambda said: error(ValueError(said)),
    "undecided": lambda said: error(CouldNotDecide(said)),
    "exits": lambda said: error(SystemExit(said)),
    "splits": lambda said: Continue(request=HeaderEdits(set=(("x-a", said + "\\r\\nx-b: 1"),))),
    "names": lambda said: Continue(request=HeaderEdits(set=((said, "1"),))),
    "owned": lambda said: Continue(request=HeaderEdits(set=(("x-envoy-" + said, "1"),))),
    "elsewhere": lambda said: Continue(upstream=said),
    "reasons": lambda said: refusal(403, said, "no"),
    "leaks": lambda said: Continue(facts={"leak": said}),
}


class Says(Policy):
    """Quotes what it was sent, in every way that a policy's author may think of."""

    name = "says"
    Settings = SaysSettings
    phases = frozenset({Phase.REQUEST})

    def __init__(self, settings):
        self._settings = settings

    @staticmethod
    def build(settings, ports):
        return Says(settings)

    async def on_request(self, request, context):
        return WAYS[self._settings.what](request.headers.get("x-second") or "nothing")


class QuotesSettings(Settings):
    pass


class Quotes(Policy):
    name = "quotes"
    Settings = QuotesSettings
    phases = frozenset({Phase.RESPONSE_BODY})

    @staticmethod
    def build(settings, ports):
        return Quotes()

    async def on_response(self, response, request, context):
        raise ValueError(response.body, response.headers.fields)
'''
SAYS: Final = 'policies: [{use: says, what: WAY, key: "${A_SETTING}", deep: [{token: "${A_DEEP_SETTING}"}]}]'
WAYS: Final = ("raises", "undecided", "exits", "splits", "names", "owned", "elsewhere", "reasons", "leaks")
# Secrets are longer than a canary, where a short one would be refused.
METHODS: Final = """
  opaque: {introspection: {endpoint: "http://127.0.0.1:1/", client_id: gw, client_secret: "${AN_INTROSPECTION_SECRET}"}}
  people: {basic: {users: users.yaml}}
  machines: {hmac: {keys: {k: {secret: "${A_SIGNING_SECRET} and some more", encoding: text, consumer: c}}}}
  linked: {api_key: {header: x-linked, query: apikey}}
  batches: {jwt: {issuer: batch, audiences: [a], secret: "${A_TOKEN_SECRET} and some more", algorithms: [HS256]}}
  visitors:
    login:
      issuer: "http://${ONLY}"
      client_id: shop
      client_secret: "${A_LOGIN_SECRET}"
      session_secret: "${A_SESSION_SECRET} and some more"
      url: http://localhost
      authorization_endpoint: "http://${ONLY}/authorize"
      token_endpoint: "http://${ONLY}/token"
      jwks: "http://${ONLY}/jwks"
"""
USERS: Final = """
users:
  - name: ann
    password: "$argon2id$v=19$m=19456,t=2,p=1$k2MDPDFKNii6dp4j3IERnA$tu3MHdsOYTmTdhLa8h7OCs6tmieu2YIFuS81MDiDXF8"
"""
ROUTES: Final = (
    """
upstreams:
  only: {endpoints: ["${ONLY}"]}
  provided: {endpoints: ["${ONLY}"], credential: {header: x-provider, value: "${A_PROVIDER_KEY}"}}
tiers: {free: {rate: 1000/s}, premium: {rate: 1000/s}}
defaults: {authenticate: partners, limits: [], body_limit: 1000}
routes:
  - {name: keys, match: {path: /keys}, upstream: only, limits: [tier]}
  - {name: tokens, match: {path: /tokens}, upstream: only, authenticate: company}
  - {name: open, match: {path: /open}, upstream: only, authenticate: none}
  - {name: moved, match: {path: /moved}, redirect: {to: /open, status: 302}, authenticate: none}
  - {name: limited, match: {path: /limited}, upstream: only, authenticate: none, limits: [{per: address, rate: 9/s}]}
  - {name: number, match: {path: /number}, upstream: only, authorize: 'int(request.headers["SECOND"]) == 1'}
  - {name: member, match: {path: /member}, upstream: only, authorize: '{"a": true}[request.headers["SECOND"]]'}
  - {name: pattern, match: {path: /pattern}, upstream: only, authorize: '"a".matches(request.headers["SECOND"])'}
  - {name: compared, match: {path: /compared}, upstream: only, authorize: 'request.headers["x-no"] == "${A_CONDITION}"'}
  - {name: provided, match: {path: /provided}, upstream: provided}
  - {name: opaque, match: {path: /opaque}, upstream: only, authenticate: opaque}
  - {name: people, match: {path: /people}, upstream: only, authenticate: people}
  - {name: machines, match: {path: /machines}, upstream: only, authenticate: machines}
  - {name: linked, match: {path: /linked}, upstream: only, authenticate: linked}
  - {name: batches, match: {path: /batches}, upstream: only, authenticate: batches}
  - {name: visitors, match: {path: /visitors}, upstream: only, authenticate: visitors}
  - {name: return, match: {path: /oauth2/callback}, upstream: only, authenticate: visitors}
  - {name: quoted, match: {path: /answers/quoted}, upstream: only, policies: [{use: quotes}]}
  - name: failing
    match: {path: /answers/failing}
    upstream: only
    policies: [{use: transform, response: {json: {set: {a: 'int(response.json.password)'}}}}]
  - name: answers
    match: {path_prefix: /answers}
    upstream: only
    policies: [{use: transform, response: {json: {set: {a: "1"}}}}]
""".replace("SECOND", SECOND)
    + "".join(
        f"  - {{name: {way}, match: {{path: /{way}}}, upstream: only, {SAYS.replace('WAY', way)}}}\n" for way in WAYS
    )
    + "  - "
    + FENCE
    + "\n"
)
# What is certain to be in a text, so that an empty one does not pass for a clean one.
WITNESSES: Final = {
    "decisions.jsonl": '"path":"/keys"', "envoy.log": '"path":"/keys"', "bootstrap.yaml": '"keys"', "up.log": "/keys",
    "/metrics": 'route="keys"', "/plan": '"keys"', "check": "ok", "plan": "keys", "explain": "x-consumer-id",
    "render": "keys", "schema": "$schema", "repr": "RoutePlan(name='keys'",
}  # fmt: skip
EXPLAINED: Final = {
    "authorization": "a bearer token", "cookie": "a cookie of an allowed request", "x-api-key": "an unknown API key",
    "proxy-authorization": "a scheme that nobody knows",
}  # fmt: skip


@pytest.fixture(scope="module")
def only() -> Iterator[Upstream]:
    with started("only") as (found,):
        for path, place in ANSWERED.items():
            cookie = ("set-cookie", f"session={canary(place)}")
            found.answers[path] = Answer(fields=(JSON, cookie), body=f'{{"password": "{canary(place)}"}}'.encode())
        found.answers["/jwks"] = Answer(fields=(JSON,), body=json.dumps(key_set()).encode())
        yield found


@pytest.fixture(scope="module")
def gateway(only: Upstream) -> Iterator[RunningGateway]:
    made = RunningGateway(HEAD.replace(AUTHENTICATION, AUTHENTICATION.rstrip() + METHODS) + ROUTES, [only])
    (made.folder / "users.yaml").write_text(USERS)
    made.environment["SIDECAR_SOCKETS"] = str(made.folder)  # `up` has its own, but the other commands read the file
    made.environment |= {variable: canary(place) for variable, place in KEPT.items()}
    (made.folder / "policies").mkdir()
    (made.folder / "policies" / "says.py").write_text(POLICIES)
    with made as running:
        yield running


def send(gateway: RunningGateway, sent: Sent) -> Reply:
    return gateway.client.ask(sent.method, sent.path, *sent.fields, body=sent.body.encode() if sent.body else None)


@pytest.fixture(scope="module")
def replies(gateway: RunningGateway) -> dict[str, Reply]:
    """What was answered to everything that has a secret in it."""
    asked = {place: send(gateway, sent.filled(canary(place))) for place, sent in SENT.items()}
    return asked | {place: send(gateway, sent) for place, sent in GOOD.items()}


def command(gateway: RunningGateway, *words: str, outputs: Sequence[str] = ("text", "json")) -> str:
    """All that it says, in these forms."""
    said = ""
    for output in outputs:
        line = [sys.executable, "-m", "extproc", *words, "--output", output]
        ended = subprocess.run(
            line, cwd=gateway.folder, env=gateway.environment, capture_output=True, text=True, check=False, timeout=60
        )
        said += ended.stdout + ended.stderr
    return said


def explained(gateway: RunningGateway) -> str:
    """Of every route: with a good key, and on the open one with secrets in all headers that may carry one."""
    secret = [word for name, place in EXPLAINED.items() for word in ("-H", f"{name}: {canary(place)}")]
    file = str(gateway.file)
    good = ["-H", f"{FREE[0]}: {FREE[1]}", "-H", f"cookie: {canary('a cookie of an allowed request')}"]
    asked = [("/open", secret), *((path, good) for path in ("/keys", "/compared", "/provided"))]
    said = [command(gateway, "explain", file, "--path", path, *fields) for path, fields in asked]
    for way in WAYS[:-1]:
        words = ["explain", file, "--path", f"/{way}", *good, *second(way)]
        said.append(command(gateway, *words, outputs=("json",)))
    return "".join(said)


def second(way: str) -> list[str]:
    place = next(place for place, sent in SENT.items() if sent.path == f"/{way}")
    return ["-H", f"{SECOND}: {canary(place)}"]


def shown(gateway: RunningGateway) -> str:
    """What a debugger or a careless log line would show."""
    project = read_project(gateway.file, gateway.environment)
    built = build_gateway(project)
    return "\n".join(
        f"{thing!r} {thing!s}"
        for thing in (
            project, project.loaded.config, project.loaded.source, project.plan, project.loaded.settings, built,
            built.ports, built.gateway, *project.loaded.settings.values(), *project.loaded.config.routes,
        )
    )  # fmt: skip


def admin_token(gateway: RunningGateway) -> str:
    """The sidecar's own, as its environment has it (proc(5))."""
    mark = b"EXTPROC_ADMIN_TOKEN="
    written = [Path(f"/proc/{pid}/environ").read_bytes() for pid in child_processes(gateway.process.pid)]
    tokens = {one.removeprefix(mark).decode() for text in written for one in text.split(b"\0") if one.startswith(mark)}
    (token,) = tokens - {canary(KEPT["EXTPROC_ADMIN_TOKEN"])}
    return token


@pytest.fixture(scope="module")
def sinks(gateway: RunningGateway, replies: Mapping[str, Reply]) -> dict[str, str]:
    """Everything that was written, by where."""
    gateway.client.get("/compared", FREE)
    last = gateway.client.get("/leaks", FREE, (SECOND, canary(LEAKED)))
    gateway.decision(last.id)
    logged = gateway.work / "envoy.log"
    eventually(lambda: last.id in logged.read_text("utf-8", "replace"), "Envoy has written its access log", 30)
    admin = f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}"
    files = [file for file in (*gateway.work.iterdir(), gateway.folder / "up.log") if file.is_file()]
    return {
        **{file.name: file.read_text("utf-8", "replace") for file in files},
        "/metrics": fetch(f"{admin}/metrics"),
        "/plan": fetch(f"{admin}/plan", admin_token(gateway)),
        **{name: command(gateway, name, str(gateway.file)) for name in ("check", "plan", "render", "schema")},
        "explain": explained(gateway),
        "repr": shown(gateway),
    }


@pytest.mark.parametrize("place", [*SENT, *GOOD])
def test_every_secret_was_on_its_way(replies: Mapping[str, Reply], place: str) -> None:
    """Each request came as far as it was meant to come."""
    assert replies[place].status == (SENT.get(place) or GOOD[place]).status


@pytest.mark.parametrize("place", [place for place, sent in SENT.items() if sent.status >= 400])
def test_no_refusal_quotes_what_was_sent_or_answered(replies: Mapping[str, Reply], place: str) -> None:
    reply = replies[place]
    assert leaks({"": repr(reply.fields) + reply.body.decode("latin-1")}) == set()


@pytest.mark.parametrize("sink", WITNESSES)
def test_what_is_searched_was_written(sinks: Mapping[str, str], sink: str) -> None:
    assert WITNESSES[sink] in sinks[sink]


def test_no_secret_is_written_down_but_the_one_that_is_leaked_on_purpose(sinks: Mapping[str, str]) -> None:
    found = {leak for leak in leaks(sinks) if leak not in RULES}
    assert found == {(LEAKED, "decisions.jsonl"), (LEAKED, "up.log")}


def test_the_token_that_up_makes_is_written_nowhere(gateway: RunningGateway, sinks: Mapping[str, str]) -> None:
    token = admin_token(gateway)
    assert [sink for sink, text in sinks.items() if token in text] == []


# A condition is no place for a secret: these commands and objects show the operator what it says.
RULES: Final = {("what a condition that fails compares with", sink) for sink in ("plan", "explain", "repr")}


def test_no_two_places_have_the_same_secret() -> None:
    ways = [way for written in secrets().values() for way in written]
    assert len(ways) == len(set(ways) | {FREE[1]})


CHECKED: Final = {
    "a list": f"key: [{HERE}]",
    "a mapping": f"key: {{a: {HERE}}}",
    "nothing beside it": f"key: {HERE}, keyy: {HERE}",
    "a list deeper": f"key: k, deep: [{{token: [{HERE}]}}]",
    "a text for a list": f"key: k, deep: {HERE}",
    "a list for a mapping": f"key: k, deep: [[{HERE}]]",
    "a user in a URL": f'key: k, deep: [{{token: t, url: "https://me:{HERE}@id.example/"}}]',
    "a URL of another scheme": f'key: k, deep: [{{token: t, url: "redis://:{HERE}@cache.example"}}]',
}


@pytest.mark.parametrize("mistake", CHECKED)
def test_a_mistake_beside_a_secret_is_told_without_it(gateway: RunningGateway, mistake: str) -> None:
    bad = gateway.folder / "bad.gateway.yaml"
    secret = canary(mistake)
    uses = f"policies: [{{use: says, what: raises, {CHECKED[mistake]}}}]"
    only = f"  - {{name: a, match: {{path: /a}}, upstream: u, {uses}}}"
    head = "listeners: [{name: a, address: '127.0.0.1:1'}]\nupstreams: {u: {endpoints: ['127.0.0.1:2']}}\n"
    bad.write_text(head + "defaults: {authenticate: none}\nroutes:\n" + only.replace(HERE, secret))
    said = command(gateway, "check", str(bad))
    assert "routes[0].policies[0]" in said
    assert secret not in said


FILES: Final = {
    "keys.yaml": (
        f"keys: [{{sha256: {HERE}, consumer: a}}]", f"keys: {{{HERE}: a}}", f"{HERE}: [", f"- {HERE}",
        f"keys: [{{sha256: a, consumer: [{HERE}]}}]",
    ),
    "jwks.json": (
        f'{{"keys": [{{"kty": "oct", "k": "{HERE}", "kid": "a"}}]}}', f'{{"keys": "{HERE}"}}', f"{HERE}",
        f'{{"keys": [{{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "{HERE}", "kid": "a"}}]}}',
        f'{{"keys": [{{"kty": "RSA", "{HERE}": 1}}]}}',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FILES.items() for text in texts])
def test_a_file_of_keys_that_cannot_be_read_is_not_quoted(tmp_path: Path, name: str, text: str) -> None:
    secret = canary(name)
    good = {"keys.yaml": "keys: []", "jwks.json": '{"keys": []}'}
    for file, content in {**good, name: text.replace(HERE, secret)}.items():
        (tmp_path / file).write_text(content)
    (tmp_path / "gateway.yaml").write_text(
        "listeners: [{name: a, address: '127.0.0.1:1'}]\nsidecar: {stores: {keys: file:keys.yaml}}\n"
        "upstreams: {u: {endpoints: ['127.0.0.1:2']}}\n"
        + AUTHENTICATION
        + "defaults: {authenticate: [company, partners]}\nroutes: [{name: a, match: {path: /a}, upstream: u}]\n"
    )
    line = [sys.executable, "-m", "extproc", "check", str(tmp_path / "gateway.yaml")]
    ended = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert name in ended.stderr
    assert secret not in ended.stderr
