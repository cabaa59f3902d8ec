"""The dynamic metadata of an answer, by the names that envoyproxy/ratelimit gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from extproc.services.ratelimit import Unit
from extproc.wire.ratelimit_pb2 import RateLimitDescriptor, RateLimitRequest


def metadata_of(call: RateLimitRequest, passed: Iterable[Mapping[str, object]]) -> Struct:
    """What was asked, and the metadata of the limits that let it pass: the first wins, but for members of mappings."""
    told: dict[str, Any] = {
        "domain": call.domain,
        "descriptors": [_descriptor(descriptor) for descriptor in call.descriptors],
    }
    if call.hits_addend:
        told["hitsAddend"] = call.hits_addend
    merged: dict[str, object] = {}
    for metadata in passed:
        _merge(merged, metadata)
    if merged:
        told["metadata"] = merged
    struct = Struct()
    struct.update(told)
    return struct


def _descriptor(descriptor: RateLimitDescriptor) -> dict[str, object]:
    told: dict[str, object] = {"entries": [f"{entry.key}={entry.value}" for entry in descriptor.entries]}
    if descriptor.HasField("limit"):
        told["limit"] = _limit(descriptor.limit)
    if descriptor.HasField("hits_addend"):
        told["hitsAddend"] = descriptor.hits_addend.value
    return told


def _limit(limit: RateLimitDescriptor.RateLimitOverride) -> str:
    """As Go spells a message: fields that are 0 are left out."""
    unit = Unit.Name(limit.unit) if limit.unit in Unit.values() else str(limit.unit)
    fields = (("requests_per_unit", limit.requests_per_unit, limit.requests_per_unit), ("unit", limit.unit, unit))
    return " ".join(f"{name}:{text}" for name, value, text in fields if value)


def _merge(into: dict[str, object], metadata: Mapping[str, object]) -> None:
    for name, value in metadata.items():
        known = into.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping):
            _merge(known, value)
        elif name not in into:
            into[name] = _copied(value)


def _copied(value: object) -> object:
    """The files' own is for every call."""
    return {name: _copied(member) for name, member in value.items()} if isinstance(value, Mapping) else value
