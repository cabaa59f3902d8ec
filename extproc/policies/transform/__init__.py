"""`use: transform`: what is changed in requests and in answers, declared in gateway.yaml, the values given by CEL."""

from __future__ import annotations

from .kind import Transform
from .settings import TransformSettings

__all__ = ["Transform", "TransformSettings"]
