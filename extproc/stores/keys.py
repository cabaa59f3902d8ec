"""API keys in a YAML file that holds digests only: reading it gives nobody a key.

```yaml
keys:
  - {sha256: 9f86d0..., consumer: acme, tier: free, scopes: [orders:read]}
```
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import Field, ValidationError

from extproc.config.settings import Settings
from extproc.core.message import Consumer

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
LONGEST_NAME: Final = 16  # of a member; an API key and a digest are longer


class KeyEntry(Settings):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    consumer: Annotated[str, Field(min_length=1, max_length=256)]
    tier: str | None = None
    scopes: list[str] = []


class KeyFile(Settings):
    keys: list[KeyEntry]


class FileKeys:
    """Finding a key is one dictionary look-up by digest: nothing about a wrong key shows in the time it takes."""

    def __init__(self, consumers: Mapping[str, Consumer]) -> None:
        self._consumers = dict(consumers)

    @classmethod
    def read(cls, file: Path) -> FileKeys:
        """Raises ValueError with a sentence that quotes no entry."""
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(f"{file} is larger than {MAX_FILE_BYTES} bytes")
            content = KeyFile.model_validate(_yaml(file))
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ValueError(f"{file}: {_place(first['loc'])}: {first['msg']}") from None
        consumers = {entry.sha256: Consumer(entry.consumer, entry.tier, tuple(entry.scopes)) for entry in content.keys}
        if len(consumers) != len(content.keys):
            raise ValueError(f"{file}: one digest stands twice")
        return cls(consumers)

    async def consumer_of(self, digest: str) -> Consumer | None:
        return self._consumers.get(digest)


def _yaml(file: Path) -> Any:
    try:
        return yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):  # what they say quotes the file
        raise ValueError(f"{file} is not a YAML file of keys") from None


def _place(location: tuple[int | str, ...]) -> str:
    """A digest or a key that stands where a name should is not repeated."""
    return ".".join("..." if len(str(part)) > LONGEST_NAME else str(part) for part in location)


class NoKeys:
    """Where no key file is named: every key is unknown."""

    async def consumer_of(self, digest: str) -> Consumer | None:
        return None
