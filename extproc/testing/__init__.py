"""For policy authors: fakes with behaviour, so that a policy is tested like ordinary Python."""

from __future__ import annotations

from extproc.testing.asking import ask
from extproc.testing.fakes import FakeClock, FakeFetch, FakeKeys, FakeKeySets, FakeRecorder, fake_ports

__all__ = ["FakeClock", "FakeFetch", "FakeKeySets", "FakeKeys", "FakeRecorder", "ask", "fake_ports"]
