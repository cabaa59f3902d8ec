"""The password of a Redis is in no output, and in no text of what a gateway is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from extproc.app.project import build_gateway, read_project
from tests.cli.commands import extproc, written

PASSWORD: Final = "hunter2secret"
ENVIRONMENT: Final = {"REDIS_PASSWORD": PASSWORD}
GATEWAY: Final = """
listeners: [{name: public, address: "127.0.0.1:8080"}]
sidecar:
  stores:
    counters: "redis://:${REDIS_PASSWORD}@127.0.0.1:1/0"
    keys: "redis://:${REDIS_PASSWORD}@127.0.0.1:1/1"
    rollouts: "redis://:${REDIS_PASSWORD}@127.0.0.1:1/2"
models: {m: {versions: {v1: {upstream: only, weight: 100}, v2: {upstream: only, weight: 0}}, ramp: {steps: [5]}}}
upstreams: {only: {endpoints: ["127.0.0.1:9000"]}}
authentication: {partners: {api_key: {}}}
tiers: {free: {rate: 1/s}}
routes: [{name: all, match: {path_prefix: /}, upstream: only, authenticate: partners, limits: [tier]}]
"""


@pytest.mark.parametrize(
    "words",
    [
        ["check", "gateway.yaml"],
        ["plan", "gateway.yaml"],
        ["plan", "gateway.yaml", "--output", "json"],
        ["render", "gateway.yaml"],
        ["explain", "gateway.yaml"],
        ["audit", "gateway.yaml"],
        ["keys", "list", "--file", "gateway.yaml"],
    ],
    ids=" ".join,
)
def test_no_command_shows_it(words: list[str], tmp_path: Path) -> None:
    written(tmp_path, GATEWAY)
    ended = extproc(*words, folder=tmp_path, environment=ENVIRONMENT)
    assert ended.output + ended.errors
    assert PASSWORD not in ended.output + ended.errors


def test_a_mistake_beside_it_is_told_without_it(tmp_path: Path) -> None:
    written(tmp_path, GATEWAY.replace(":1/0", ":1/x").replace(":1/2", ":1/x"))
    ended = extproc("check", "gateway.yaml", folder=tmp_path, environment=ENVIRONMENT)
    assert ended.code == 1
    assert "sidecar.stores.counters" in ended.errors
    assert "sidecar.stores.rollouts" in ended.errors
    assert PASSWORD not in ended.output + ended.errors


def test_nothing_that_is_made_of_it_shows_it(tmp_path: Path) -> None:
    project = read_project(written(tmp_path, GATEWAY), ENVIRONMENT)
    built = build_gateway(project)
    shown = repr((project, project.plan, project.loaded.config, project.loaded.source, built, built.ports))
    assert "only" in shown
    assert PASSWORD not in shown
