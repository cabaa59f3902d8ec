"""Bodies that are edited as they pass, piece by piece: what a policy gives for one, and several in a row."""

from __future__ import annotations

from collections.abc import Sequence

from extproc.core.decision import LocalReply


class BodyEditor:
    """Sees one body once, in pieces that begin and end anywhere, and gives what is sent on in their place.

    What it cannot judge yet it keeps, and gives later; nobody else bounds how much that is. `ended` says that it has
    ended the body itself: what it gave last was the end, and nothing more is shown to it. `refused` is what that
    amounts to, where the client would have liked more: it is written down.
    """

    ended: bool = False
    refused: LocalReply | None = None

    async def feed(self, piece: bytes) -> bytes:
        return piece

    async def finish(self) -> bytes:
        """The body has ended: what was kept."""
        return b""

    async def close(self) -> None:
        """The exchange is over, in whatever way: its client may have gone in the middle. Called once, behind everything
        else, when nobody waits and nothing can be sent any more."""


class Editors(BodyEditor):
    """One behind the other."""

    def __init__(self, editors: Sequence[BodyEditor]) -> None:
        self._editors = tuple(editors)

    async def feed(self, piece: bytes) -> bytes:
        return await self._through(0, piece, end=False)

    async def finish(self) -> bytes:
        return await self._through(0, b"", end=True)

    async def _through(self, first: int, piece: bytes, *, end: bool) -> bytes:
        """The end is told to each behind whoever has ended as well: it is the end for them."""
        for editor in self._editors[first:]:
            piece = await editor.feed(piece) if piece else b""
            if end and not editor.ended:
                piece += await editor.finish()
            end = end or editor.ended
            self.refused = self.refused or editor.refused
        self.ended = end
        return piece

    async def close(self) -> None:
        for editor in self._editors:
            await editor.close()
