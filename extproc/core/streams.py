"""Bodies that are edited as they pass, piece by piece: what a policy gives for one, and several in a row."""

from __future__ import annotations

from collections.abc import Sequence


class BodyEditor:
    """Sees one body once, in pieces that begin and end anywhere, and gives what is sent on in their place.

    What it cannot judge yet it keeps, and gives later; nobody else bounds how much that is. `ended` says that it has
    ended the body itself: what it gave last was the end, and nothing more is shown to it.
    """

    ended: bool = False

    async def feed(self, piece: bytes) -> bytes:
        return piece

    async def finish(self) -> bytes:
        """The body has ended: what was kept."""
        return b""


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
        self.ended = end
        return piece
