"""Exceptions -> sentences and exit codes, in one place. Imports nothing heavy: names tell the exceptions apart."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from enum import IntEnum

from extproc.cli.output import Output, write_json
from extproc.core.errors import RefusedLimits
from extproc.core.problems import InvalidConfig, Problem


class Exit(IntEnum):
    OK = 0
    FINDINGS = 1
    USAGE = 2
    RUNTIME = 3


NOTHING = "nothing was started"
EXPECTED = (
    "AdminFailed", "AlreadyThere", "CannotRun", "KeyConflict", "NoDemo", "NoEnvoy", "NoKeyStore", "NoUsage", "NotReady",
    "SocketInUse", "StoreUnavailable", "UnknownKey", "Unreadable", "UnusableCertificate",
)  # fmt: skip


@contextlib.contextmanager
def reported(output: Output = Output.TEXT) -> Iterator[None]:
    """What an operator can mend is a sentence on standard error; anything else keeps its traceback.

    Problems of a file are a result: whoever asks for JSON gets them as JSON, on standard output.
    """
    try:
        yield
    except Exception as raised:
        errors = _leaves(raised)
        if all(isinstance(error, InvalidConfig | RefusedLimits) for error in errors):
            if output is Output.JSON:
                write_json({"ok": False, "problems": [asdict(one) for error in errors for one in _found(error)]})
                _end(Exit.FINDINGS)
            _end(Exit.FINDINGS, *(line for error in errors for line in _problems(error)))
        if all(isinstance(error, OSError) or type(error).__name__ in EXPECTED for error in errors):
            _end(Exit.RUNTIME, *(f"extproc: {_sentence(error)}" for error in errors))
        raise


def _leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for error in group.exceptions for leaf in _leaves(error)]
    return [group]


def _found(error: BaseException) -> tuple[Problem, ...]:
    if isinstance(error, RefusedLimits):
        return (Problem(error.file, max(error.line, 1), 1, "", error.message),)
    return error.problems if isinstance(error, InvalidConfig) else ()


def _problems(error: BaseException) -> list[str]:
    if isinstance(error, RefusedLimits):  # in the words that its reader may look for
        return [str(error), f"in line {error.line}; {NOTHING}" if error.line else NOTHING]
    problems = _found(error)
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    return [*map(str, problems), f"{count}, {NOTHING}"]


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _end(code: Exit, *lines: str) -> None:
    for line in lines:
        sys.stderr.write(line + "\n")
    raise SystemExit(code)
