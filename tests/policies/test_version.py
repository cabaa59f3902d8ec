"""A version that is gone is 410, by the clock that the policy is given; any other passes, and is told."""

from __future__ import annotations

import json

import pytest

from extproc.core.decision import LocalReply
from extproc.core.specs import VersionSpec
from extproc.core.versions import ApiVersion, BrownOut, Status
from extproc.policies.version import VersionPolicy
from extproc.testing import FakeClock, fake_ports
from tests.policies.asking import CALLED, asking, passed, refused

NOW = int(FakeClock().seconds)
OLD = ApiVersion("v1", Status.DEPRECATED, NOW - 1000, NOW + 60, "v2", brown_outs=(BrownOut(NOW + 10, NOW + 20),))


async def test_a_version_passes_until_it_is_gone() -> None:
    clock = FakeClock()
    policy = VersionPolicy.build(VersionSpec(OLD, "/v2/users"), fake_ports(clock=clock))
    assert passed(await policy.on_request(asking(), CALLED)).facts == {"api_version": "v1", "api_status": "deprecated"}
    clock.advance(10)
    assert refused(await policy.on_request(asking(), CALLED)) == (410, "version_brown_out")
    clock.advance(10)
    assert passed(await policy.on_request(asking(), CALLED))
    clock.advance(39.9)
    assert passed(await policy.on_request(asking(), CALLED))
    clock.advance(0.1)
    gone = await policy.on_request(asking(), CALLED)
    assert refused(gone) == (410, "version_sunset")
    assert gone.facts == {"api_version": "v1", "api_status": "deprecated"}
    assert isinstance(gone, LocalReply)
    assert json.loads(gone.body)["successor_at"] == "/v2/users"


@pytest.mark.parametrize("version", [ApiVersion("v2"), ApiVersion("v1", Status.DEPRECATED, NOW - 10)])
async def test_a_version_without_an_end_always_passes(version: ApiVersion) -> None:
    policy = VersionPolicy.build(VersionSpec(version), fake_ports())
    assert passed(await policy.on_request(asking(), CALLED)).facts["api_version"] == version.name
