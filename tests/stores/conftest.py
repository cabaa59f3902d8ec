"""Every test that asks for `store` is run on each store there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from extproc.core.ports import CounterStore
from extproc.testing import FakeClock
from tests.stores.counters import STORES


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[CounterStore]:
    async with STORES[request.param](clock) as opened:
        yield opened
