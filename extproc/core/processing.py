"""What Envoy shows of an HTTP exchange on an ext_proc stream, in plain words: the plan says it, exchanges hold to it.

BUFFERED_PARTIAL has no place here: whoever judges a beginning lets the rest pass unseen (processing_mode.proto).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

# A buffered body travels in one message, of which gRPC takes 4 MiB by default; headers and attributes are in it too.
MAX_SHOWN: Final = 3 * 1024 * 1024

DEFAULT_RESPONSE_LIMIT: Final = 1024 * 1024


class BodyMode(Enum):
    """How bodies are shown. STREAMED is lock-step: a chunk can be changed, but not held back, merged or split."""

    NONE = "none"
    BUFFERED = "buffered"
    STREAMED = "streamed"
    FULL_DUPLEX = "full_duplex"

    @property
    def in_chunks(self) -> bool:
        return self in (BodyMode.STREAMED, BodyMode.FULL_DUPLEX)


@dataclass(frozen=True, slots=True)
class Side:
    """What is shown of a request, or of a response."""

    headers: bool = False
    body: BodyMode = BodyMode.NONE
    trailers: bool = False

    def __post_init__(self) -> None:
        if self.body is not BodyMode.NONE and not self.headers:
            # Envoy would drop content-length, and nobody would know what the body is.
            raise ValueError("a body is shown with its headers")
        if self.body is BodyMode.FULL_DUPLEX and not self.trailers:
            raise ValueError("Envoy rejects FULL_DUPLEX_STREAMED without trailers")


NOTHING: Final = Side()


@dataclass(frozen=True, slots=True)
class Processing:
    request: Side = NOTHING
    response: Side = NOTHING

    def __bool__(self) -> bool:
        return self != UNPROCESSED


UNPROCESSED: Final = Processing()

# What the sidecar needs at the end of an aggregate's time to say that it is over: without it, Envoy would.
SPARE: Final = 1.0


def longer(deadline: float) -> float:
    """How long Envoy waits for an answer that is put together within `deadline` seconds."""
    return deadline + SPARE
