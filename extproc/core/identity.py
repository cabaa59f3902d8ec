"""What the upstream is told about the consumer, and how the internal headers are kept from being forged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

from extproc.core.errors import InvalidMutation
from extproc.core.headers import Headers, is_field_value
from extproc.core.message import Consumer
from extproc.core.names import (
    CLUSTER_HEADER,
    CONSUMER_GROUPS,
    CONSUMER_ID,
    CONSUMER_SCOPES,
    CONSUMER_TIER,
    OWNED_PREFIXES,
    upstream_cluster,
)

PLAIN: Final = "/:@=+"  # besides letters, digits and -._~: what the names of groups are made of


def spell_groups(groups: Sequence[str]) -> str:
    """With commas between, and anything else than plain characters escaped: a group is named by whoever keeps them, and
    a comma or a space in its name must not make it two."""
    return ",".join([quote(group, safe=PLAIN) for group in groups])


def read_groups(text: str) -> tuple[str, ...]:
    return tuple(unquote(group) for group in text.split(",") if group)


def identity_headers(consumer: Consumer | None) -> tuple[tuple[str, str], ...]:
    """The x-consumer-* fields that vouch for this consumer. Nobody's id is told for an anonymous one."""
    if consumer is None:
        return ()
    fields = [] if consumer.anonymous else [(CONSUMER_ID, consumer.id)]
    if consumer.tier is not None:
        fields.append((CONSUMER_TIER, consumer.tier))
    if consumer.scopes:
        fields.append((CONSUMER_SCOPES, " ".join(consumer.scopes)))
    if consumer.groups:
        fields.append((CONSUMER_GROUPS, spell_groups(consumer.groups)))
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
