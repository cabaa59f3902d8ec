"""Reading what was written before any model has seen it: whatever stands there, nothing raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Raw = Mapping[str, Any]

NOBODY: Final = "none"  # the word for a route that anybody may call


def mapping(value: Any) -> Raw:
    return value if isinstance(value, Mapping) else {}


def items(raw: Raw, block: str) -> Iterator[tuple[int, Raw]]:
    """The mappings of a list, with their places in it."""
    written = raw.get(block)
    for index, item in enumerate(written if isinstance(written, list) else []):
        if isinstance(item, Mapping):
            yield index, item


def inherited(raw: Raw, route: Raw, key: str) -> Any:
    """An empty value is nobody's word, exactly as where the plan is compiled."""
    own = route.get(key)
    return own if own is not None else mapping(raw.get("defaults")).get(key)


def anonymous(raw: Raw, route: Raw) -> bool:
    return bool(inherited(raw, route, "authenticate") == NOBODY)
