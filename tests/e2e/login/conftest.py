"""One gateway, provider and upstream for the tests of a file, and a browser for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.browser import Browser
from tests.e2e.harness import RunningGateway
from tests.e2e.login_gateway import address, login_gateway
from tests.e2e.sign_in import SignIn, Signing, sign_in
from tests.e2e.upstreams import Upstream, started


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def provider() -> Iterator[SignIn]:
    with sign_in() as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, provider: SignIn) -> Iterator[RunningGateway]:
    with login_gateway(provider, upstream) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_new(upstream: Upstream, provider: SignIn) -> None:
    upstream.clear()
    provider.clear()
    provider.how = Signing()


@pytest.fixture
def here(gateway: RunningGateway) -> str:
    return address(gateway)


@pytest.fixture
def browser(gateway: RunningGateway) -> Browser:
    return Browser({"shop.example.com": gateway.ports["GATEWAY_ADDRESS"]})
