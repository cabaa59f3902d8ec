"""The whole stack in containers, where an engine answers: what `up --wait` brings up, and how closed it is.

Where none answers, these are skipped, and say what nobody has checked then.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import shlex
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import docker
import pytest
from docker.errors import DockerException

from tests.compose.composition import FILE, long_running, started_by_default
from tests.e2e.clients import Client
from tests.free_ports import free_ports

pytestmark = pytest.mark.e2e

UNCHECKED: Final = (
    "not checked here: that the image builds; that volumes get the owner and mode of its folders; that everything runs "
    "with a read-only root and without capabilities; networks, published ports, health checks and their order as an "
    "engine makes them; the gateway's answers through all that"
)
COMMANDS: Final = 900  # seconds: a first start pulls images and installs packages
DEMO: Final = "/var/lib/extproc/demo/demo.env"


def docker_cli(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = dict(os.environ)  # noqa: TID251 - the operator's: which engine, and how it is reached
    return subprocess.run(
        ["docker", *words], env=inherited | environment, capture_output=True, text=True, timeout=COMMANDS, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def has_compose() -> bool:
    try:
        return docker_cli("compose", "version").returncode == 0
    except FileNotFoundError:
        return False


def connected() -> docker.DockerClient | str:
    """A client of the engine that answers, or why there is none."""
    with warnings.catch_warnings():
        # The library leaves a socket open when nobody answers: it must be collected here, and not in another's test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env()
            client.ping()
        except (DockerException, OSError) as error:  # requests' exceptions are OSErrors
            answer: docker.DockerClient | str = str(error)
        else:
            answer = client
        gc.collect()
    return answer


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = connected()
    if isinstance(client, str):
        pytest.skip(f"no Docker engine answers ({client}); {UNCHECKED}")
    yield client
    client.close()


@dataclass(frozen=True, slots=True)
class Stack:
    """One run of the file, under a name and on ports of its own."""

    engine: docker.DockerClient
    name: str
    gateway: int
    admin: int

    def compose(self, *words: str) -> subprocess.CompletedProcess[str]:
        ports = {"GATEWAY_PORT": str(self.gateway), "ADMIN_PORT": str(self.admin)}
        return docker_cli("compose", "--project-name", self.name, "--file", str(FILE), *words, **ports)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Service -> what the engine says of its container."""
        found = self.engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={self.name}"})
        return {one.labels["com.docker.compose.service"]: one.attrs for one in found}

    def in_sidecar(self, *words: str) -> str:
        ended = self.compose("exec", "-T", "sidecar", *words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def demo(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in shlex.split(self.in_sidecar("cat", DEMO)))


@pytest.fixture(scope="module")
def stack(engine: docker.DockerClient) -> Iterator[Stack]:
    if not has_compose():
        pytest.skip(f"the command `docker compose` is not installed; {UNCHECKED}")
    gateway, admin = free_ports(2)
    started = Stack(engine, f"extproc-test-{os.getpid()}", gateway, admin)
    try:
        up = started.compose("up", "--wait", "--build", "--quiet-pull")
        assert up.returncode == 0, up.stderr + started.compose("logs").stdout
        yield started
    finally:
        started.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10")


def test_who_has_a_key_is_served_and_who_has_none_is_not(stack: Stack) -> None:
    client = Client(stack.gateway)
    assert client.get("/api/v2/users").status == 401
    assert client.get("/api/v2/users", ("x-api-key", stack.demo()["FREE_KEY"])).status == 200


def test_every_outcome_is_the_one_that_a_user_expects(stack: Stack) -> None:
    ended = stack.compose("run", "--rm", "-T", "try")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_everything_that_runs_is_healthy_and_everything_else_has_done_its_work(stack: Stack) -> None:
    states = {name: container["State"] for name, container in stack.containers().items()}
    assert set(states) >= set(started_by_default())
    for name in started_by_default():
        if name in long_running():
            assert states[name]["Health"]["Status"] == "healthy", name
        else:
            assert (states[name]["Status"], states[name]["ExitCode"]) == ("exited", 0), name


def test_no_container_is_more_open_than_the_file_says(stack: Stack) -> None:
    for name, container in stack.containers().items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert container["Config"]["User"] == started_by_default()[name]["user"], name


def test_the_sockets_are_for_the_sidecar_and_its_group(stack: Stack) -> None:
    listed = stack.in_sidecar("sh", "-c", "stat -c '%a %u %g' /run/extproc /run/extproc/*")
    assert listed.splitlines() == ["750 10001 10001", "770 10001 10001", "660 10001 10001"]


def test_an_upstream_is_reached_through_the_gateway_only(stack: Stack) -> None:
    networks = {name: set(one["NetworkSettings"]["Networks"]) for name, one in stack.containers().items()}
    assert networks["users"] == {f"{stack.name}_upstreams"}
    published = {name for name, one in stack.containers().items() if any(one["NetworkSettings"]["Ports"].values())}
    assert published == {"envoy", "sidecar"}


def test_the_admin_address_answers_and_keeps_the_plan_to_itself(stack: Stack) -> None:
    answers = {}
    for path in ("/readyz", "/metrics", "/plan"):
        connection = http.client.HTTPConnection("127.0.0.1", stack.admin, timeout=10)
        connection.request("GET", path)
        answers[path] = connection.getresponse().status
        connection.close()
    assert answers == {"/readyz": 200, "/metrics": 200, "/plan": 401}


def test_a_second_start_keeps_keys_and_tokens(stack: Stack) -> None:
    before = stack.demo()
    assert stack.compose("up", "--wait").returncode == 0
    assert stack.demo() == before


def test_the_image_is_for_no_root_and_tells_of_its_health(engine: docker.DockerClient, stack: Stack) -> None:
    settings = engine.images.get("envoy-extproc:local").attrs["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["Healthcheck"]["Test"] == ["CMD", "extproc", "healthcheck"]
    assert settings["Labels"]["org.opencontainers.image.title"] == "envoy-extproc"


def test_compose_itself_reads_the_file() -> None:
    """This needs the command, and no engine."""
    if not has_compose():
        pytest.skip("the command `docker compose` is not installed: how it reads the file was not checked")
    ended = docker_cli(
        "compose", "--file", str(FILE), "--profile", "*", "config", "--format", "json", GATEWAY_PORT="8000"
    )
    assert ended.returncode == 0, ended.stderr
    services = json.loads(ended.stdout)["services"]
    assert set(services) == {*started_by_default(), "redis", "try"}
    (port,) = services["envoy"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8000", 8080)
