"""`model:` of a route: which model a request asks for, and which version of it answers."""

from __future__ import annotations

from .kind import Choose

__all__ = ["Choose"]
