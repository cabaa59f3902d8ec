"""`login:`: people who sign in with their browser, by OpenID Connect's authorization code flow (RFC 6749 §4.1)."""

from __future__ import annotations

from .method import LoginKind

__all__ = ["LoginKind"]
