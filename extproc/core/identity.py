"""What the upstream is told about the consumer, and how the internal headers are kept from being forged."""

from __future__ import annotations

from extproc.core.errors import InvalidMutation
from extproc.core.headers import Headers, is_field_value
from extproc.core.message import Consumer
from extproc.core.names import (
    CLUSTER_HEADER,
    CONSUMER_ID,
    CONSUMER_SCOPES,
    CONSUMER_TIER,
    OWNED_PREFIXES,
    upstream_cluster,
)


def identity_headers(consumer: Consumer | None) -> tuple[tuple[str, str], ...]:
    """The x-consumer-* fields that vouch for this consumer; none where nobody was asked, and no id of whoever is
    anonymous: an upstream must not take them all for one caller."""
    if consumer is None:
        return ()
    fields = [] if consumer.anonymous else [(CONSUMER_ID, consumer.id)]
    if consumer.tier is not None:
        fields.append((CONSUMER_TIER, consumer.tier))
    if consumer.scopes:
        fields.append((CONSUMER_SCOPES, " ".join(consumer.scopes)))
    for name, value in fields:
        if not is_field_value(value):
            raise InvalidMutation(f"{name} would carry a control character")
    return tuple(fields)


def owned_headers(consumer: Consumer | None, upstream: str | None) -> tuple[tuple[str, str], ...]:
    """Every field under our own prefixes that an allowed request gets."""
    chosen = ((CLUSTER_HEADER, upstream_cluster(upstream)),) if upstream is not None else ()
    return identity_headers(consumer) + chosen


def forged_headers(seen: Headers, granted: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Fields under our prefixes that came with the request and that we do not set ourselves: to be removed.

    The generated Envoy strips them before anything runs; an Envoy that somebody else configured does not.
    """
    forged = [name for name, _ in seen if name.startswith(OWNED_PREFIXES)]
    if not forged:
        return ()
    ours = {name for name, _ in granted}
    return tuple(dict.fromkeys(name for name in forged if name not in ours))
