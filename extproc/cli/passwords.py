"""`extproc password`: the hash of a password, for a file of users. The password is never an argument: those are told to
everybody who lists the processes."""

from __future__ import annotations

import sys

import typer

from extproc.policies.basic import hash_password


def hashed() -> str:
    """Of what is typed, twice alike, or of the first line of standard input.

    Raises:
        ValueError: it is no password.
    """
    return hash_password(_typed() if sys.stdin.isatty() else _read())


def _typed() -> str:
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _read() -> str:
    line = sys.stdin.buffer.readline().removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a password is text in UTF-8") from None
