"""The services' own commands, in the order in which the file starts them, as processes of this machine.

What no test without an engine can say: that the image builds, and that names, networks, limits, `cap_drop` and
`read_only` are what an engine makes of them (test_engine.py).
"""

from __future__ import annotations

import json
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from extproc.app.envoy import find_envoy, validate
from extproc.app.project import read_project
from tests.compose.composition import FOLDER
from tests.compose.local import ENVOY, Stack, changing_user
from tests.e2e.harness import eventually, fetch

pytestmark = pytest.mark.e2e

UPSTREAM_SERVICES: Final = ("users", "orders", "recommend-v1", "recommend-v2", "chat")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Stack]:
    """Both one-shots have ended."""
    with Stack() as stack:
        for name in ("credentials", "bootstrap"):
            ended = stack.ends(name)
            assert ended.returncode == 0, ended.stderr
        yield stack


@pytest.fixture(scope="module")
def running(prepared: Stack) -> Stack:
    """Everything that `up --wait` waits for."""
    for name in (*UPSTREAM_SERVICES, "sidecar", "envoy"):
        process = prepared.start(name)

        def healthy(name: str = name, process: subprocess.Popen[bytes] = process) -> bool:
            assert process.poll() is None, prepared.log(name)
            return prepared.is_healthy(name).returncode == 0

        eventually(healthy, f"{name} is healthy")
    return prepared


def test_the_credentials_are_for_the_sidecars_user_alone(prepared: Stack) -> None:
    files = sorted(prepared.volume("credentials").iterdir())
    assert [file.name for file in files] == ["demo-signing-key.pem", "demo.env", "jwks.json", "keys.yaml"]
    assert {mode(file) for file in files} == {0o600}
    assert mode(prepared.volume("credentials")) == 0o750
    if changing_user() is not None:
        assert {(file.stat().st_uid, file.stat().st_gid) for file in files} == {(10001, 10001)}


def test_a_second_start_keeps_every_credential(prepared: Stack) -> None:
    before = {file.name: file.read_bytes() for file in prepared.volume("credentials").iterdir()}
    assert prepared.ends("credentials").returncode == 0
    assert {file.name: file.read_bytes() for file in prepared.volume("credentials").iterdir()} == before


async def test_what_is_rendered_is_accepted_by_envoy(prepared: Stack) -> None:
    file = prepared.volume("bootstrap") / "bootstrap.yaml"
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert await validate(find_envoy(), file) is None


def test_what_is_rendered_has_the_revision_that_the_sidecar_serves(prepared: Stack) -> None:
    file = Path(prepared.folder_of("sidecar")) / "gateway.yaml"
    project = read_project(file, prepared.environment("sidecar"))
    rendered = (prepared.volume("bootstrap") / "bootstrap.yaml").read_text()
    assert rendered.count(project.plan.revision) >= len(project.plan.routes)
    assert project.plan.sidecar.folder == str(prepared.volume("sockets"))
    assert f"{prepared.volume('sockets')}/worker-0.a.sock" in rendered


def test_a_gateway_file_that_cannot_be_used_leaves_the_last_one_that_could(tmp_path: Path) -> None:
    with Stack() as stack:
        stack.ends("credentials")
        rendered = stack.volume("bootstrap") / "bootstrap.yaml"
        rendered.write_text("the last one that could")
        broken = stack.folder / "mine"
        shutil.copytree(FOLDER / "demo", broken)
        (broken / "gateway.yaml").write_text("routs: []\n")
        stack.services["bootstrap"]["volumes"][0]["source"] = str(broken)
        ended = stack.ends("bootstrap")
        assert ended.returncode == 1
        assert "nothing was started" in ended.stderr
        assert rendered.read_text() == "the last one that could"


def test_the_health_check_says_no_until_the_sidecar_is_ready() -> None:
    with Stack() as stack:
        stack.ends("credentials")
        before = stack.is_healthy("sidecar")
        assert (before.returncode, before.stdout) == (3, "")
        assert before.stderr.startswith("extproc: no sidecar answers at 127.0.0.1:")
        sidecar = stack.start("sidecar")

        def healthy() -> bool:
            assert sidecar.poll() is None, stack.log("sidecar")
            return stack.is_healthy("sidecar").returncode == 0

        eventually(healthy, "the sidecar is healthy")
        sidecar.terminate()
        assert sidecar.wait(10) == 0
        assert stack.is_healthy("sidecar").returncode == 3


def test_the_sockets_are_for_the_sidecar_and_its_group(running: Stack) -> None:
    socket, egress = running.volume("sockets") / "worker-0.a.sock", running.volume("sockets") / "egress"
    assert set(running.volume("sockets").iterdir()) == {socket, egress}
    assert (mode(socket), mode(socket.parent)) == (0o660, 0o750)
    assert stat.S_ISSOCK(socket.stat().st_mode)


def test_envoys_own_socket_is_for_both_and_in_the_one_folder_where_it_may_make_one(running: Stack) -> None:
    (socket,) = (running.volume("sockets") / "egress").iterdir()
    assert (mode(socket), mode(socket.parent)) == (0o660, 0o770)
    assert stat.S_ISSOCK(socket.stat().st_mode)


def test_envoy_reaches_them_as_another_user_of_that_group(running: Stack) -> None:
    if changing_user() is None:
        pytest.skip("only root can run Envoy and sidecar as two users: who may connect to the sockets was not checked")
    socket = running.volume("sockets") / "worker-0.a.sock"
    assert (socket.stat().st_uid, socket.stat().st_gid) == (10001, 10001)
    connect = [sys.executable, "-S", "-c", "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"]
    for user, reaches in ((ENVOY, True), ("101:101", False), ("102:102", False)):
        uid, _, gid = user.partition(":")
        identity = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *(changing_user() or ())]
        ended = subprocess.run(
            ["setpriv", *identity, *connect, str(socket)], capture_output=True, text=True, check=False
        )
        assert (ended.returncode == 0) is reaches, (user, ended.stderr)


def test_every_outcome_is_the_one_that_a_user_expects(running: Stack) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here: the requests of the service `try` were not sent")
    environment = running.volume("credentials") / "demo.env"
    command = ["sh", str(FOLDER / "demo" / "try.sh"), str(environment), running.gateway]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "x-shop-edited: true" in ended.stdout
    assert "ratelimit-policy" in ended.stdout
    assert ended.stdout.count("\n# ") == 11


def test_the_client_says_which_outcome_is_another(running: Stack) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here: what the service `try` says of a wrong answer was not checked")
    words = shlex.split((running.volume("credentials") / "demo.env").read_text())
    forged = running.folder / "forged.env"
    forged.write_text("".join(f"{word[:-4]}AAAA\n" if word.startswith("FREE_KEY") else f"{word}\n" for word in words))
    command = ["sh", str(FOLDER / "demo" / "try.sh"), str(forged), running.gateway]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, "try.sh: expected 200, got 401\n")


def test_decisions_are_in_the_sidecars_output(running: Stack) -> None:
    events = [json.loads(line)["event"] for line in running.log("sidecar").splitlines()]
    assert next(event for event in events if not event.startswith("rollout")) == "ready"


def test_envoys_health_check_says_no_where_nobody_listens_and_where_there_is_no_sidecar() -> None:
    with Stack() as stack:
        stack.ends("credentials")
        stack.ends("bootstrap")
        assert stack.is_healthy("envoy").returncode != 0
        stack.start("envoy")
        live = f"http://127.0.0.1:{stack.ports['9901']}/ready"
        eventually(lambda: fetch(live).strip() == "LIVE", "Envoy is live")
        assert stack.is_healthy("envoy").returncode != 0


@pytest.mark.parametrize("name", UPSTREAM_SERVICES)
def test_an_upstreams_health_check_says_no_where_nobody_listens(name: str) -> None:
    with Stack() as stack:
        assert stack.is_healthy(name).returncode != 0
