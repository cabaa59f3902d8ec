"""A folder of envoyproxy/ratelimit's files, which may be a mounted ConfigMap: its entries are links, swapped as one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extproc.config.ratelimit_document import read_document
from extproc.config.ratelimit_tree import build_domains
from extproc.core.descriptors import Node
from extproc.core.errors import RefusedLimits

SUFFIXES: Final = frozenset({".yaml", ".yml"})
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 10_000  # more is a folder that was not meant
Stamp = tuple[tuple[str, int, int, int, int], ...]  # of every file: its name, device, inode, size, time of change


@dataclass(frozen=True, slots=True)
class LoadedLimits:
    """`revision` is a fingerprint of the files as they were read."""

    domains: Mapping[str, Node]
    files: tuple[str, ...]
    revision: str


def load_limits(folder: Path, *, merge: bool = False) -> LoadedLimits:
    """All files of a folder, or none. Raises RefusedLimits with the first mistake."""
    contents = {name: _content(folder, name) for name in _names(folder)}
    documents = [read_document(name, content) for name, content in contents.items()]
    revision = hashlib.sha256(repr(contents).encode()).hexdigest()[:16]
    return LoadedLimits(build_domains(documents, merge=merge), tuple(contents), revision)


def stamp(folder: Path) -> Stamp:
    """Another one whenever a file, or the folder that a link leads to, is another. Empty where it cannot be read."""
    try:
        return tuple(_stamps(folder))
    except (OSError, RefusedLimits):
        return ()


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int, int]]:
    for name in _names(folder):
        seen = (folder / name).stat()
        yield name, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def _names(folder: Path) -> tuple[str, ...]:
    """By name, in subfolders too. Hidden ones are left out: a ConfigMap's `..data` holds every file a second time."""
    found: list[str] = []
    try:
        for where, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = Path(where).relative_to(folder)
            found += [str(inside / name) for name in files if _is_read(name)]
    except OSError as error:
        raise RefusedLimits(str(folder), f"cannot be read: {error.strerror}") from None
    if len(found) > MAX_FILES:
        raise RefusedLimits(str(folder), f"more than {MAX_FILES} files")
    return tuple(sorted(found))


def _raise(error: OSError) -> None:
    raise error


def _is_read(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix in SUFFIXES


def _content(folder: Path, name: str) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RefusedLimits(name, f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise RefusedLimits(name, f"larger than {MAX_FILE_BYTES} bytes")
    return content
