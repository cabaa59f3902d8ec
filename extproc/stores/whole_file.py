"""A file that is written whole or not at all, by one at a time, and read without waiting for whoever writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
PATIENCE: Final = 5.0  # seconds; a change takes milliseconds, so whoever holds the lock longer is stopped or dead
RETRY: Final = 0.02


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One writer at a time. A file of its own, because the one that is written is another one afterwards."""
    lock = open_lock(path, "lock")
    try:
        deadline = time.monotonic() + PATIENCE
        while not taken(lock):
            if time.monotonic() > deadline:
                raise TimeoutError(f"somebody else has been writing it for {PATIENCE:g} s")
            time.sleep(RETRY)
        yield
    finally:
        os.close(lock)


def open_lock(path: Path, suffix: str) -> int:
    """A file beside that one, which only says who holds it."""
    lock = os.open(
        path.with_name(f"{path.name}.{suffix}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE
    )
    try:
        if path.exists():
            _give_to_owner(lock, path.stat())
    except BaseException:
        os.close(lock)
        raise
    return lock


def taken(lock: int) -> bool:
    """Whether nobody else has it; it is ours until it is closed, or the process ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def replace_whole(path: Path, text: str, before: os.stat_result | None) -> None:
    """Readers find the old file or the new one, and a crash leaves one of the two (rename(2))."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 from its first byte on
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if before is not None:
                _give_to_owner(descriptor, before)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _give_to_owner(descriptor: int, owner: os.stat_result) -> None:
    """A sidecar of another user must still read what root has written; where that cannot be, nothing is."""
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) != (owner.st_uid, owner.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
