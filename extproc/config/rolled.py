"""What rollouts need of the rest of the file: where they are kept, and what they are judged by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.config.model import MEMORY
from extproc.config.raw import Raw, mapping
from extproc.core.problems import Finding

AT: Final = ("sidecar", "stores", "rollouts")


def check_rollouts(raw: Raw) -> list[Finding]:
    return [*_shared_alike(raw), *_unscored(raw)]


def _shared_alike(raw: Raw) -> Iterator[Finding]:
    """Evidence is where the counters are. Who shares one and not the other would be judged by a part of what happens,
    or judge for itself what all of them do."""
    stores = mapping(mapping(raw.get("sidecar")).get("stores"))
    rollouts, counters = stores.get("rollouts"), stores.get("counters") or MEMORY
    if not isinstance(rollouts, str):
        return
    if rollouts.startswith("file:") and counters != MEMORY:
        said = "counters are in a Redis, which sidecars share, and rollouts in a file, which each has alone"
        yield Finding(AT, said, "leave out rollouts: they are kept where the counters are")
    if not rollouts.startswith("file:") and counters == MEMORY:
        said = "rollouts are in a Redis, and what they are judged by is in each sidecar's memory, as the counters are"
        yield Finding(AT, said, "write counters: with the URL of that Redis")


def _unscored(raw: Raw) -> Iterator[Finding]:
    """A bound on scores that nobody gives guards nothing."""
    for name, model in mapping(raw.get("models")).items():
        guard = mapping(mapping(model).get("guard"))
        if mapping(model).get("score") is not None:
            continue
        at = ("models", name, "guard")
        if guard.get("score") is not None:
            yield Finding((*at, "score"), "a bound on scores that nobody gives", "write who scores: score: {...}")
        if mapping(guard.get("compare")).get("score") is not None:
            hint = "write who scores: score: {...}"
            yield Finding((*at, "compare", "score"), "a bound on scores that nobody gives", hint)
