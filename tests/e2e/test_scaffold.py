"""What `extproc init` writes, run as its reader would: the gateway, an upstream, two requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.commands import extproc
from tests.e2e.harness import RunningGateway
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e


class Scaffold(RunningGateway):
    """The scaffold in the place of a file of our own."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__("", [upstream])
        self.file.unlink()
        ended = extproc("init", ".", folder=self.folder)
        assert ended.code == 0, ended.errors
        # It leaves the admin addresses to their defaults, which another gateway on this machine may have.
        text = self.file.read_text("utf-8")
        sidecar, envoy = self.environment["SIDECAR_ADMIN"], self.environment["ENVOY_ADMIN"]
        self.file.write_text(f'{text}sidecar: {{admin: "{sidecar}"}}\nenvoy: {{admin: "{envoy}"}}\n', "utf-8")


@pytest.fixture(scope="module")
def app() -> Iterator[Upstream]:
    with started("app") as (found,):
        yield found


@pytest.fixture(scope="module")
def gateway(app: Upstream) -> Iterator[RunningGateway]:
    with Scaffold(app) as running:
        yield running


def test_the_policy_of_the_scaffold_refuses_and_allows(gateway: RunningGateway, app: Upstream) -> None:
    refused = gateway.client.get("/")
    assert (refused.status, refused.reason) == (403, "header_missing")
    assert app.received == []
    allowed = gateway.client.get("/", ("x-team", "blue"))
    assert allowed.status == 200
    assert [request.header("x-team") for request in app.received] == ["blue"]
    assert gateway.decision(allowed.id)["facts"] == {"x-team": "blue"}
