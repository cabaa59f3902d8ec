"""What is kept of an API key: its digest, whose it is, and for how long. The key itself is nowhere.

```yaml
sha256: 9f86d0...
consumer: acme
tier: free
scopes: [orders:read]
groups: [partners]
claims: {limits: {rate: 50/s}}
created: '2026-11-25T09:00:00Z'
expires: '2027-02-23T09:00:00Z'
```
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from extproc.config.settings import Settings
from extproc.core.api_key import key_id
from extproc.core.message import NO_CLAIMS, Consumer

NO_INSTANT: Final = "not a time: write 2027-01-01 or 2027-01-01T12:00:00Z"


def parse_instant(value: Any) -> datetime:
    """A day or a second in UTC, where no other zone is written. YAML reads a bare one as a date by itself."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(NO_INSTANT) from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise ValueError(NO_INSTANT)
    try:
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC).replace(microsecond=0)
    except OverflowError:  # the first or the last day of the calendar, in another zone
        raise ValueError(NO_INSTANT) from None


def spell_instant(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


Instant = Annotated[datetime, BeforeValidator(parse_instant), PlainSerializer(spell_instant)]


class KeyEntry(Settings):
    """One API key, as a store keeps it."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """The key's SHA-256, in hex."""
    consumer: Annotated[str, Field(min_length=1, max_length=256)]
    """Whose key it is."""
    tier: str | None = None
    """The consumer's tier."""
    scopes: list[str] = []
    """What the consumer may do."""
    groups: list[str] = []
    """What the consumer belongs to."""
    claims: Annotated[dict[str, Any], Field(repr=False)] = {}
    """What a token would say of the consumer: limits of its own, where `limits: {claim: NAME}` names one of them."""
    created: Instant | None = None
    """When it was made."""
    expires: Instant | None = None
    """From when on it is worth nothing. Left out: never."""

    replaced_by: str | None = None
    """The id of the key that takes its place; it goes on until `expires`."""

    @property
    def id(self) -> str:
        return key_id(self.sha256)

    def as_consumer(self) -> Consumer:
        claims = self.claims or NO_CLAIMS
        return Consumer(self.consumer, self.tier, tuple(self.scopes), claims, groups=tuple(self.groups))

    def ended(self, now: float) -> bool:
        return self.expires is not None and self.expires.timestamp() <= now

    def written(self) -> dict[str, Any]:
        """As it stands in a store: what was said, and no more."""
        return self.model_dump(exclude_defaults=True)
