"""The demo's credentials from one start to the next: what was given out goes on being good."""

from __future__ import annotations

import shlex
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import jwt

from extproc.app.demo import (
    ENVIRONMENT,
    JWKS,
    KEYS,
    SIGNING_KEY,
    Credentials,
    NoDemo,
    Places,
    environment_file,
    make_credentials,
    make_tokens,
)
from extproc.app.folders import write_private
from extproc.core.ports import Clock

LEAST: Final = 3600  # seconds that a token must still be good for, or it is signed anew


class Provided(StrEnum):
    MADE = "keys and tokens are made"
    KEPT = "keys and tokens are kept"
    RENEWED = "keys are kept, tokens had run out and are signed anew"


def provide_credentials(folder: Path, clock: Clock, places: Places, *, force: bool = False) -> Provided:
    """See that the demo's files are in `folder`, for its user alone.

    The file that tells of the keys is written last: where it is not, nobody has been told of any.

    Raises:
        NoDemo: there are some of an earlier start's files, and others are missing.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    file = folder / ENVIRONMENT
    if force:
        file.unlink(missing_ok=True)
    kept = _kept(folder)
    if kept is None:
        credentials, what = make_credentials(folder, clock), Provided.MADE
    elif _good(kept.free_jwt, clock) and _good(kept.premium_jwt, clock):
        credentials, what = kept, Provided.KEPT
    else:
        free, premium = make_tokens(folder, clock)
        credentials, what = replace(kept, free_jwt=free, premium_jwt=premium), Provided.RENEWED
    text = environment_file(places, credentials)
    if not file.exists() or file.read_text("utf-8") != text:
        write_private(file, text)
    return what


def _kept(folder: Path) -> Credentials | None:
    """What an earlier start gave out, or None where it gave out nothing."""
    file = folder / ENVIRONMENT
    if not file.exists():
        return None
    missing = [name for name in (SIGNING_KEY, JWKS, KEYS) if not (folder / name).is_file()]
    if missing:
        raise NoDemo(f"{folder} has {ENVIRONMENT}, but no {' and no '.join(missing)}: --force makes all anew")
    try:
        words = (word.partition("=") for word in shlex.split(file.read_text("utf-8")))
        values = {name: value for name, _, value in words}
        return Credentials(values["FREE_KEY"], values["PREMIUM_KEY"], values["FREE_JWT"], values["PREMIUM_JWT"])
    except (KeyError, ValueError):
        raise NoDemo(f"{file} cannot be read as it was written: --force makes all anew") from None


def _good(token: str, clock: Clock) -> bool:
    """For how long, is all that is asked: who signed it is for the sidecar to judge."""
    try:
        expires = jwt.decode(token, options={"verify_signature": False}).get("exp")
    except jwt.InvalidTokenError:
        return False
    return isinstance(expires, int) and expires > clock.now() + LEAST
