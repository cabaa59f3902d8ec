"""An Envoy older than the bootstrap is for: told, and run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extproc.app.envoy import find_envoy
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, RunningGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}}
routes: [{name: all, match: {path_prefix: /}, upstream: only, authenticate: partners}]
"""
)
SAYS_IT_IS_OLD = """#!/bin/sh
if [ "$1" = --version ]; then echo "envoy  version: 0123abcd/1.36.4/Clean/RELEASE/BoringSSL"; exit; fi
exec {real} "$@"
"""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with started("only") as (only,):
        yield only


def test_an_old_envoy_is_told_of_and_run(upstream: Upstream) -> None:
    gateway = RunningGateway(GATEWAY, [upstream])
    old = gateway.folder / "old-envoy"
    old.write_text(SAYS_IT_IS_OLD.format(real=find_envoy()))
    old.chmod(0o755)
    gateway.environment["EXTPROC_ENVOY"] = str(old)
    with gateway:
        assert gateway.client.get("/", FREE).status == 200
        assert "Envoy 1.36.4 has known holes: use 1.38.3 or later" in gateway.output()


def test_nothing_is_said_of_an_envoy_that_is_not_old(upstream: Upstream) -> None:
    with RunningGateway(GATEWAY, [upstream]) as gateway:
        assert "known holes" not in gateway.output()
