"""Which exceptions are sentences, and which keep their traceback."""

from __future__ import annotations

import errno

import pytest

from extproc.app.demo import NoDemo
from extproc.app.envoy import NoEnvoy
from extproc.app.local import CannotRun
from extproc.app.server_certificates import UnusableCertificate
from extproc.cli.admin_address import AdminFailed
from extproc.cli.auditing import Unreadable
from extproc.cli.failures import EXPECTED, Exit, reported
from extproc.cli.healthcheck import NotReady
from extproc.cli.keys import NoKeyStore
from extproc.cli.scaffolding import AlreadyThere
from extproc.cli.usage import NoUsage
from extproc.core.errors import RefusedLimits, StoreUnavailable
from extproc.core.problems import InvalidConfig, Problem
from extproc.services.server import SocketInUse
from extproc.stores.key_changes import KeyConflict, UnknownKey

PROBLEM = Problem("gateway.yaml", 3, 1, "routes", "must be a list")
ONE = "1 problem, nothing was started"
TAKEN = OSError(errno.EADDRINUSE, "Address already in use")

CASES = [
    (InvalidConfig([PROBLEM]), Exit.FINDINGS, [str(PROBLEM), ONE]),
    (InvalidConfig([PROBLEM] * 2), Exit.FINDINGS, [str(PROBLEM)] * 2 + ["2 problems, nothing was started"]),
    (RefusedLimits("a.yaml", "said", 7), Exit.FINDINGS, ["a.yaml: said", "in line 7; nothing was started"]),
    (RefusedLimits("a.yaml", "said"), Exit.FINDINGS, ["a.yaml: said", "nothing was started"]),
    (TAKEN, Exit.RUNTIME, ["extproc: Address already in use"]),
    (OSError("in words"), Exit.RUNTIME, ["extproc: in words"]),
    (FileNotFoundError(errno.ENOENT, "No such file", "a.pem"), Exit.RUNTIME, ["extproc: a.pem: No such file"]),
    (CannotRun("a port is taken"), Exit.RUNTIME, ["extproc: a port is taken"]),
    (NoEnvoy("there is no Envoy"), Exit.RUNTIME, ["extproc: there is no Envoy"]),
    (NotReady("it is not ready"), Exit.RUNTIME, ["extproc: it is not ready"]),
    (SocketInUse("another serves"), Exit.RUNTIME, ["extproc: another serves"]),
    (ExceptionGroup("tasks", [TAKEN]), Exit.RUNTIME, ["extproc: Address already in use"]),
    (ExceptionGroup("tasks", [InvalidConfig([PROBLEM])]), Exit.FINDINGS, [str(PROBLEM), ONE]),
    (
        ExceptionGroup("tasks", [ExceptionGroup("inner", [TAKEN]), CannotRun("and so on")]),
        Exit.RUNTIME,
        ["extproc: Address already in use", "extproc: and so on"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raised", "code", "lines"), CASES, ids=lambda value: type(value).__name__)
def test_what_an_operator_can_mend_is_sentences_and_a_code(
    raised: Exception, code: Exit, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, reported():
        raise raised
    assert ended.value.code == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == ("", lines)


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("ours to mend"),
        ExceptionGroup("tasks", [KeyError("ours")]),
        ExceptionGroup("tasks", [TAKEN, KeyError("ours")]),
    ],
)
def test_what_is_ours_to_mend_keeps_its_traceback(raised: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(raised)) as caught, reported():
        raise raised
    assert caught.value is raised
    assert capsys.readouterr().err == ""


def test_no_failure_is_no_exit() -> None:
    with reported():
        pass


def test_every_expected_failure_exists_under_its_name() -> None:
    kinds = (
        *(
            AdminFailed,
            AlreadyThere,
            CannotRun,
            KeyConflict,
            NoDemo,
            NoEnvoy,
            NoKeyStore,
            NoUsage,
            NotReady,
            SocketInUse,
        ),
        *(NoUsage, StoreUnavailable, UnknownKey, Unreadable, UnusableCertificate),
    )
    assert {kind.__name__ for kind in kinds} == set(EXPECTED)
