"""Making, replacing and ending API keys, whatever store they are in. Here alone is a key ever seen whole."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from extproc.config.settings import Settings, parse_duration
from extproc.core.api_key import RANDOM_BYTES, digest, spell
from extproc.core.headers import is_field_value
from extproc.core.ports import Clock
from extproc.stores.key_changes import KeyConflict, KeyLedger, Rotation
from extproc.stores.key_entry import KeyEntry, parse_instant, spell_instant

OVERLAP: Final = "24h"  # in which callers change over to the new key
LONGEST: Final = timedelta(days=36_600)
MOST: Final = 100  # scopes and groups: all of them travel in one header of every request
NO_EXPIRY: Final = "not an end: write a duration as 90d, or a time as 2027-01-01 or 2027-01-01T12:00:00Z"


def _plain(value: str) -> str:
    if not is_field_value(value) or value != value.strip():
        raise ValueError("a name has no control characters, and no space around it")
    return value


# RFC 6749 §3.3: what upstreams get is one header with spaces between.
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]{1,256}$")]
ConsumerName = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_plain)]


class KeyWish(Settings):
    """What a new key is to be good for."""

    consumer: ConsumerName
    tier: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_plain)] | None = None
    scopes: Annotated[list[Scope], Field(max_length=MOST)] = []
    groups: Annotated[list[ConsumerName], Field(max_length=MOST)] = []
    expires: str | None = None


class RotationWish(Settings):
    """How long the old key goes on, and how long the new one will."""

    overlap: str = OVERLAP
    expires: str | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """The only time that a key is told. `replaced` is the one whose place it takes."""

    key: str = field(repr=False)
    entry: KeyEntry
    replaced: KeyEntry | None = None

    def told(self) -> dict[str, Any]:
        replaced = {"replaces": entry_told(self.replaced)} if self.replaced else {}
        return {"key": self.key, **entry_told(self.entry), **replaced}


def entry_told(entry: KeyEntry) -> dict[str, Any]:
    """All that anybody is told of a key, every name always there. Its digest is nobody's business."""
    return {
        "id": entry.id,
        "consumer": entry.consumer,
        "tier": entry.tier,
        "scopes": entry.scopes,
        "groups": entry.groups,
        "created": spell_instant(entry.created) if entry.created else None,
        "expires": spell_instant(entry.expires) if entry.expires else None,
        "replaced_by": entry.replaced_by,
    }


class KeyKeeper:
    def __init__(self, ledger: KeyLedger, clock: Clock, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._random = random

    async def entries(self) -> Sequence[KeyEntry]:
        return await self._ledger.entries()

    async def create(self, wish: KeyWish) -> NewKey:
        """Raises ValueError for an end that is none, KeyConflict, StoreUnavailable."""
        now = self._now()
        key, sha256 = self._key()
        entry = KeyEntry(
            sha256=sha256, consumer=wish.consumer, tier=wish.tier, scopes=wish.scopes, groups=wish.groups, created=now,
            expires=parse_expiry(wish.expires, now) if wish.expires else None,
        )  # fmt: skip
        await self._ledger.add(entry)
        return NewKey(key, entry)

    async def rotate(self, identity: str, wish: RotationWish) -> NewKey:
        """A new key for the same consumer; the old one goes on for the overlap, and no longer than it would have.

        Raises:
            ValueError: an end or an overlap that is none.
            UnknownKey, KeyConflict: there is no such key, or it has ended or been replaced.
            StoreUnavailable: nothing was changed.
        """
        now = self._now()
        overlap, expires = parse_overlap(wish.overlap), parse_expiry(wish.expires, now) if wish.expires else None
        key, sha256 = self._key()

        def rotation(old: KeyEntry) -> Rotation:
            if old.ended(now.timestamp()):
                raise KeyConflict(f"the key {old.id} has ended: create a new one")
            if old.replaced_by is not None:
                raise KeyConflict(f"the key {old.id} is replaced already: rotate {old.replaced_by}")
            new = old.model_copy(update={"sha256": sha256, "created": now, "expires": expires or _lifetime(old, now)})
            end = _earlier(old.expires, now + overlap)
            return Rotation(old.model_copy(update={"expires": end, "replaced_by": new.id}), new)

        made = await self._ledger.rotate(identity, rotation)
        return NewKey(key, made.new, made.old)

    async def revoke(self, identity: str) -> KeyEntry:
        """Raises UnknownKey, StoreUnavailable."""
        return await self._ledger.remove(identity)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC).replace(microsecond=0)

    def _key(self) -> tuple[str, str]:
        key = spell(self._random(RANDOM_BYTES))
        return key, digest(key)


def parse_expiry(text: str, now: datetime) -> datetime:
    """`90d` from now, or a time. Raises ValueError."""
    try:
        end = now + parse_duration(text)
    except ValueError:
        try:
            end = parse_instant(text)
        except ValueError:
            raise ValueError(NO_EXPIRY) from None
    except OverflowError:
        raise ValueError(NO_EXPIRY) from None
    if not now < end <= now + LONGEST:
        raise ValueError(f"a key ends after now, and within {LONGEST.days} days")
    return end


def parse_overlap(text: str) -> timedelta:
    """Raises ValueError. `0s` ends the old key at once."""
    overlap = parse_duration(text)
    if overlap > LONGEST:
        raise ValueError(f"an overlap is at most {LONGEST.days} days")
    return overlap


def _earlier(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)


def _lifetime(old: KeyEntry, now: datetime) -> datetime | None:
    """As long as the old key had; where nobody wrote when it was made, until the same end. Never longer by mistake."""
    if old.expires is None or old.created is None:
        return old.expires
    return now + max(old.expires - old.created, timedelta(seconds=1))
