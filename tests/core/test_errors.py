"""Every "could not decide" is a deny with a reason code and a status of its own."""

from __future__ import annotations

import re

import pytest

from extproc.core import errors
from extproc.core.decision import refusal
from extproc.core.errors import (
    CouldNotDecide,
    ExtprocError,
    InvalidMutation,
    PolicyFailed,
    ProtocolViolation,
    StoreUnavailable,
    UnknownRoute,
)

UNDECIDED = (CouldNotDecide, UnknownRoute, PolicyFailed, InvalidMutation, StoreUnavailable)


@pytest.mark.parametrize("kind", UNDECIDED)
def test_what_could_not_be_decided_can_be_answered_with_a_server_error(kind: type[CouldNotDecide]) -> None:
    reply = refusal(kind.status, kind.reason, "the gateway could not decide")
    assert reply.refuses
    assert reply.status >= 500


def test_reasons_tell_the_errors_apart() -> None:
    assert len({kind.reason for kind in UNDECIDED}) == len(UNDECIDED)


def test_a_violation_of_the_protocol_is_not_answered_at_all() -> None:
    assert issubclass(ProtocolViolation, ExtprocError)
    assert not issubclass(ProtocolViolation, CouldNotDecide)


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = set(re.findall(r"^[│├└─ ]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)) - {"What"}
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ExtprocError)
    }
    assert drawn == defined
