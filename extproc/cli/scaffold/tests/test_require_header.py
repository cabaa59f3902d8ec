"""The policy, tested as ordinary Python: no Envoy, no network."""

from __future__ import annotations

import pytest
from policies.require_header import RequireHeader, RequireHeaderSettings

from extproc import Continue, Headers, LocalReply, Request
from extproc.testing import ask, fake_ports

POLICY = RequireHeader.build(RequireHeaderSettings(header="x-team"), fake_ports())


def test_a_request_that_says_its_team_passes_and_leaves_a_fact() -> None:
    decision = ask(POLICY, Request("GET", "/", headers=Headers.of({"x-team": "blue"})))
    assert isinstance(decision, Continue)
    assert decision.facts == {"x-team": "blue"}


@pytest.mark.parametrize("headers", [{}, {"x-team": ""}, {"x-other": "blue"}])
def test_a_request_that_does_not_is_refused(headers: dict[str, str]) -> None:
    decision = ask(POLICY, Request("GET", "/", headers=Headers.of(headers)))
    assert isinstance(decision, LocalReply)
    assert (decision.status, decision.reason) == (403, "header_missing")
