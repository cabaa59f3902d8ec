"""What the upstream is told about the consumer, and how the internal headers are kept from being forged."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote

from extproc.core.errors import InvalidMutation
from extproc.core.headers import Headers, control_character
from extproc.core.message import Consumer
from extproc.core.names import (
    CLUSTER_HEADER,
    CONSUMER_GROUPS,
    CONSUMER_ID,
    CONSUMER_SCOPES,
    CONSUMER_TIER,
    OWNED_PREFIXES,
    SHADOW_HEADER,
    upstream_cluster,
)

CALLERS: Final = 4096  # about whom is remembered what the upstream and Envoy are told; whoever asks once asks again
SEEN_TOGETHER: Final = 256  # combinations of header names: programs that ask have a few each
PLAIN: Final = "/:@=+"  # besides letters, digits and -._~: what the names of groups are made of


def spell_groups(groups: Sequence[str]) -> str:
    """With commas between, and anything else than plain characters escaped: a group is named by whoever keeps them, and
    a comma or a space in its name must not make it two."""
    return ",".join([quote(group, safe=PLAIN) for group in groups])


def read_groups(text: str) -> tuple[str, ...]:
    return tuple(unquote(group) for group in text.split(",") if group)


def identity_headers(consumer: Consumer | None) -> tuple[tuple[str, str], ...]:
    """The x-consumer-* fields that vouch for this consumer; none where nobody was asked, and no id of whoever is
    anonymous: an upstream must not take them all for one caller."""
    if consumer is None:
        return ()
    identity = "" if consumer.anonymous else consumer.id
    return _vouching(identity, consumer.tier, tuple(consumer.scopes), tuple(consumer.groups))


@functools.lru_cache(CALLERS)
def _vouching(
    identity: str, tier: str | None, scopes: tuple[str, ...], groups: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    fields = [(CONSUMER_ID, identity)] if identity else []
    if tier is not None:
        fields.append((CONSUMER_TIER, tier))
    if scopes:
        fields.append((CONSUMER_SCOPES, " ".join(scopes)))
    if groups:
        fields.append((CONSUMER_GROUPS, spell_groups(groups)))
    for name, value in fields:
        if control_character(value):
            raise InvalidMutation(f"{name} would carry a control character")
    return tuple(fields)


def owned_headers(
    consumer: Consumer | None, upstream: str | None, cluster: str = "", shadow: str = ""
) -> tuple[tuple[str, str], ...]:
    """Every field under our own prefixes that an allowed request gets."""
    if upstream is None:
        return identity_headers(consumer)
    chosen = ((CLUSTER_HEADER, cluster or upstream_cluster(upstream)),)
    return identity_headers(consumer) + (((*chosen, (SHADOW_HEADER, shadow))) if shadow else chosen)


def forged_headers(seen: Headers, granted: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Fields under our prefixes that came with the request and that we do not set ourselves: to be removed.

    The generated Envoy strips them before anything runs; an Envoy that somebody else configured does not.
    """
    forged = _owned_among(tuple(seen.names))
    if not forged:
        return ()
    ours = {name for name, _ in granted}
    return tuple(name for name in forged if name not in ours)


@functools.lru_cache(SEEN_TOGETHER)
def _owned_among(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([name for name in names if name.startswith(OWNED_PREFIXES)])
