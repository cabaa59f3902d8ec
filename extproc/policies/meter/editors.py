"""Answers that are counted as they pass: nothing is changed in them, and nothing waits but for the end of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from extproc import (
    BodyEditor,
    CouldNotDecide,
    Count,
    CounterState,
    Ended,
    Ending,
    Framing,
    LocalReply,
    Meter,
    Record,
    Spent,
    ending_of,
    event_in,
    loads_strictly,
    spelled_event,
)

from .account import Account

DONE: Final = b"[DONE]"
USED_UP: Final = "tokens_used_up"
NOTHING: Final[Mapping[str, Any]] = {}


class StreamMeter(BodyEditor):
    """Of events or lines. A record that has text is sent when it is covered; the first that is not ends the answer."""

    def __init__(self, meter: Meter, account: Account, framing: Framing, begun: Count) -> None:
        self._meter = meter
        self._account = account
        self._framing = framing
        self._count = begun
        self._ending: Ending = ending_of(meter)

    async def feed(self, piece: bytes) -> bytes:
        sent: list[bytes] = []
        before = self._count
        try:
            for record in self._framing.cut(piece):
                sent.append(await self._passed(record))
                if self.ended:
                    break
        except BaseException:
            self._count = before  # nothing of this piece is sent
            raise
        return b"".join(sent)

    async def finish(self) -> bytes:
        rest = self._framing.rest()
        last = await self._passed(rest) if rest.wire else b""
        if not self.ended:
            await self._account.settle(self._total, Ended.SAID if self._count.exact else Ended.ESTIMATED)
        return last

    async def close(self) -> None:
        await self._account.settle(self._total, Ended.LEFT)

    @property
    def _total(self) -> int:
        return self._meter.total(self._count)

    async def _passed(self, record: Record) -> bytes:
        """What is sent for it."""
        document, length = self._read(record)
        after = self._meter.after(self._count, document)
        if length:
            after = self._meter.after_text(after, length)
        if after.records > self._count.records:
            refused = await self._account.cover(self._total, self._meter.total(after))
            if refused is not None:
                return await self._cut(document, refused, whole=record.whole)
        self._count = after
        self._ending.hear(document)
        return record.wire

    def _read(self, record: Record) -> tuple[Mapping[str, Any], int]:
        """Its document; or how long it is, where nobody can say what is in it."""
        data = self._data(record)
        if not data or data == DONE:
            return NOTHING, 0
        try:
            document = loads_strictly(data)
        except ValueError:
            return NOTHING, len(data)
        return (document, 0) if isinstance(document, dict) else (NOTHING, len(data))

    def _data(self, record: Record) -> bytes:
        if not record.whole or not self._framing.of_events:
            return record.wire.strip()
        event = event_in(record.wire)
        return event.data if event else b""

    async def _cut(self, withheld: Mapping[str, Any], refused: CounterState, *, whole: bool) -> bytes:
        if not whole:
            raise CouldNotDecide("a record that is too long to be held does not fit into its budget")
        spent = Spent(self._count.prompt, self._meter.written(self._count))
        self.ended = True
        facts = {"limit": refused.counter.limit.name, "tokens": str(self._total)}
        self.refused = LocalReply(429, USED_UP, facts=facts)
        await self._account.settle(self._total, Ended.CUT)
        return b"".join(self._spelled(one.data, one.kind) for one in self._ending.written(withheld, spent))

    def _spelled(self, data: str, kind: str) -> bytes:
        if self._framing.of_events:
            return spelled_event(data, kind)
        return f"{data}\n".encode() if data.encode() != DONE else b""


class WholeMeter(BodyEditor):
    """Of an answer that is one JSON value: it passes as it comes, and is read when it is over, up to `limit` bytes."""

    def __init__(self, meter: Meter, account: Account, limit: int, begun: Count) -> None:
        self._meter = meter
        self._account = account
        self._limit = limit
        self._begun = begun
        self._kept = bytearray()
        self._passed = 0

    async def feed(self, piece: bytes) -> bytes:
        self._passed += len(piece)
        if self._passed <= self._limit:
            self._kept += piece
        return piece

    async def finish(self) -> bytes:
        count = self._read()
        await self._account.settle(self._meter.total(count), Ended.SAID if count.exact else Ended.ESTIMATED)
        return b""

    async def close(self) -> None:
        passed = self._meter.after_text(self._begun, self._passed)
        await self._account.settle(self._meter.total(passed), Ended.LEFT)

    def _read(self) -> Count:
        try:
            document = loads_strictly(bytes(self._kept)) if self._passed <= self._limit else None
        except ValueError:
            document = None
        if not isinstance(document, dict):
            return self._meter.after_text(self._begun, self._passed)
        return self._meter.after(self._begun, document)
