"""A YAML file of API keys. It holds digests only: reading it gives nobody a key.

```yaml
keys:
  - {sha256: 9f86d0..., consumer: acme, tier: free, scopes: [orders:read]}
```

It is written whole or not at all, by one at a time, and read without waiting for whoever writes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from extproc.config.settings import Settings
from extproc.stores.key_changes import Change, Entries
from extproc.stores.key_entry import KeyEntry
from extproc.stores.keys import KnownKeys
from extproc.stores.whole_file import locked, replace_whole

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
LONGEST_NAME: Final = 16  # of a member; an API key and a digest are longer
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
            with locked(path):
                there = path.exists()
                before = self.parse(self.read()).entries if there else ()
                replace_whole(path, _text(change(before)), path.stat() if there else None)
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


def _place(location: tuple[int | str, ...]) -> str:
    """A digest or a key that stands where a name should is not repeated."""
    return ".".join("..." if len(str(part)) > LONGEST_NAME else str(part) for part in location)
