"""What an upstream gets besides the client's own request: who is asking, and what the gateway itself shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from extproc.core.decision import Continue, HeaderEdits
from extproc.core.headers import Headers
from extproc.core.identity import forged_headers, owned_headers
from extproc.core.message import Consumer
from extproc.core.names import CONSUMER_TOKEN, INTERNAL_PREFIX
from extproc.core.ports import TokenSigner

Fields = tuple[tuple[str, str], ...]
HIDDEN: Final = "(not shown)"  # in place of a secret: explanations are pasted into tickets


@dataclass(frozen=True, slots=True)
class UpstreamCredential:
    """A provider's key, for one."""

    header: str
    value: str = field(repr=False)


class Handed(NamedTuple):
    """The header fields that Envoy sets and removes. No name is in both: Envoy removes what it has set. `granted` is
    the same for all that a caller asks of an upstream; `set` is of this request alone, and may be secret."""

    granted: Fields = ()
    set: Fields = ()
    remove: tuple[str, ...] = ()

    @property
    def fields(self) -> Fields:
        return (*self.set, *self.granted)


@dataclass(frozen=True, slots=True)
class Handover:
    """Of one route. `fixed` is the upstream that it leads to, empty where a policy chooses one; `credentials` are those
    of the upstreams that it may lead to; `removed` are headers that are for the gateway alone, which Envoy removes."""

    fixed: str = ""
    signer: TokenSigner | None = None
    credentials: Mapping[str, UpstreamCredential] = field(default_factory=lambda: MappingProxyType({}))
    removed: tuple[str, ...] = ()

    def hand(self, decision: Continue, consumer: Consumer | None, seen: Headers) -> Handed:
        """All edits of a request that is let through: the policies' and our own, which win."""
        upstream = decision.upstream or self.fixed
        granted = owned_headers(consumer, decision.upstream, decision.cluster, decision.shadow)
        shown = self._token(consumer, upstream)
        removed = forged_headers(seen, granted + shown)
        edits = decision.request
        credential = self.credentials.get(upstream)
        if credential is not None:
            shown += ((credential.header, credential.value),)
            edits = _without(edits, credential.header)
        return Handed(granted, (*edits.set, *shown), (*edits.remove, *removed))

    def reaching(self, handed: Handed, seen: Headers) -> Fields:
        """The fields that arrive, but for those that Envoy itself sets."""
        gone = {name for name, _ in handed.fields}.union(handed.remove, self.removed)
        kept = tuple([field for field in seen if field[0] not in gone])
        return kept + tuple([field for field in handed.fields if not field[0].startswith(INTERNAL_PREFIX)])

    def secrets(self, chosen: str | None) -> Mapping[str, str]:
        """What to show in place of the values that only an upstream may see."""
        credential = self.credentials.get(chosen or self.fixed)
        shown = {CONSUMER_TOKEN: "(signed)"}
        return shown if credential is None else {**shown, credential.header: HIDDEN}

    def _token(self, consumer: Consumer | None, upstream: str) -> Fields:
        if self.signer is None or not upstream or consumer is None or consumer.anonymous:
            return ()
        return ((CONSUMER_TOKEN, self.signer.token(consumer, upstream)),)


NOTHING_MORE: Final = Handover()


def _without(edits: HeaderEdits, name: str) -> HeaderEdits:
    fields = tuple([field for field in edits.set if field[0] != name])
    return HeaderEdits(fields, tuple([removed for removed in edits.remove if removed != name]))
