"""Several editors of one body, one behind the other: pieces, the end, and the end of the exchange."""

from __future__ import annotations

from dataclasses import dataclass, field

from extproc.core.decision import LocalReply
from extproc.core.streams import BodyEditor, Editors

CUT = LocalReply(429, "over")


@dataclass(slots=True, eq=False)
class Marking(BodyEditor):
    """Writes its mark behind each piece, and says what it heard; ends the body with a piece that has `until` in it."""

    mark: bytes
    until: bytes = b"\0"
    heard: list[str] = field(default_factory=list)
    ended: bool = False
    refused: LocalReply | None = None

    async def feed(self, piece: bytes) -> bytes:
        self.heard.append("feed")
        if self.until in piece:
            self.ended, self.refused = True, CUT
        return piece + self.mark

    async def finish(self) -> bytes:
        self.heard.append("finish")
        return self.mark.upper()

    async def close(self) -> None:
        self.heard.append("close")


async def test_each_sees_what_the_one_before_made_and_the_end_behind_it() -> None:
    editors = Editors([Marking(b"a"), Marking(b"b")])
    assert await editors.feed(b"1") == b"1ab"
    assert await editors.finish() == b"AbB"
    assert editors.refused is None


async def test_one_that_ends_the_body_ends_it_for_those_behind_and_says_why() -> None:
    first, second = Marking(b"a", until=b"9"), Marking(b"b")
    editors = Editors([first, second])
    assert await editors.feed(b"9") == b"9abB"
    assert (editors.ended, editors.refused) == (True, CUT)
    assert second.heard == ["feed", "finish"]


async def test_the_end_of_the_exchange_is_told_to_each_also_to_one_that_another_has_cut_off() -> None:
    first, second = Marking(b"a"), Marking(b"b", until=b"9")
    editors = Editors([first, second])
    await editors.feed(b"9")
    await editors.close()
    assert (first.heard, second.heard) == (["feed", "close"], ["feed", "close"])


async def test_an_editor_that_says_nothing_lets_the_body_pass() -> None:
    editor = BodyEditor()
    assert (await editor.feed(b"a"), await editor.finish()) == (b"a", b"")
    await editor.close()
    assert (editor.ended, editor.refused) == (False, None)
