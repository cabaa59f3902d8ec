"""`meter:` of a route: what its answers come to is read in them, and a stream ends where its budget does."""

from __future__ import annotations

from .kind import MeterKind

__all__ = ["MeterKind"]
