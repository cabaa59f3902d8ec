"""A YAML file of API keys. It holds digests only: reading it gives nobody a key.

```yaml
keys:
  - {sha256: 9f86d0..., consumer: acme, tier: free, scopes: [orders:read]}
```

It is written whole or not at all, by one at a time, and read without waiting for whoever writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from extproc.config.settings import Settings
from extproc.stores.key_changes import Change, Entries
from extproc.stores.key_entry import KeyEntry
from extproc.stores.keys import KnownKeys

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
LONGEST_NAME: Final = 16  # of a member; an API key and a digest are longer
PRIVATE: Final = 0o600
PATIENCE: Final = 5.0  # seconds; a change takes milliseconds, so whoever holds the lock longer is stopped or dead
RETRY: Final = 0.02
HEADING: Final = "# Digests of API keys. Written by `extproc keys`: comments do not survive a change.\n"


class KeyDocument(Settings):
    keys: list[KeyEntry]


class KeyFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes:
        """Raises ValueError with a sentence."""
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ValueError(f"{self.path} cannot be read: {error.strerror}") from None
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"{self.path} is larger than {MAX_FILE_BYTES} bytes")
        return content

    def parse(self, content: bytes) -> KnownKeys:
        """Raises ValueError with a sentence that quotes no entry."""
        try:
            return KnownKeys(KeyDocument.model_validate(self._yaml(content)).keys)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(f"{self.path}: {_place(first['loc'])}: {first['msg']}") from None
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None

    def change(self, change: Change) -> None:
        """What `change` makes of the keys takes their place. A file that is not there has none.

        Raises:
            ValueError: the file cannot be read as one of keys, or not be written.
        """
        try:
            path = Path(os.path.realpath(self.path))  # a link stays one
            with _locked(path):
                there = path.exists()
                before = self.parse(self.read()).entries if there else ()
                _replace(path, _text(change(before)), path.stat() if there else None)
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def _yaml(self, content: bytes) -> Any:
        try:
            return yaml.load(content, Loader=yaml.CSafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError):  # what they say quotes the file
            raise ValueError("not a YAML file of keys") from None


def _text(entries: Entries) -> str:
    document = {"keys": [entry.written() for entry in entries]}
    return HEADING + yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time. A file of its own, because the one that is written is another one afterwards."""
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        if path.exists():
            _give_to_owner(lock, path.stat())
        deadline = time.monotonic() + PATIENCE
        while not _taken(lock):
            if time.monotonic() > deadline:
                raise TimeoutError(f"somebody else has been writing it for {PATIENCE:g} s")
            time.sleep(RETRY)
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(path: Path, text: str, before: os.stat_result | None) -> None:
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


def _place(location: tuple[int | str, ...]) -> str:
    """A digest or a key that stands where a name should is not repeated."""
    return ".".join("..." if len(str(part)) > LONGEST_NAME else str(part) for part in location)
