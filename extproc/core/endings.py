"""How a stream that is cut ends: with the records that its readers wait for, so that it is a whole answer, only short.

Each ending hears of every record that is sent on, and remembers what the last ones need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from extproc.core.metering import Meter, Style

Document = Mapping[str, Any]
DONE: Final = "[DONE]"
SAME: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
TEXT_COMPLETION: Final = "text_completion"


class Written(NamedTuple):
    """A record that is to be written: its data and, of an event, its type."""

    data: str
    kind: str = ""


class Spent(NamedTuple):
    """Tokens of what the client gets."""

    prompt: int
    completion: int


class Ending:
    """For streams of which nobody knows how they end but the operator: as the settings say."""

    def __init__(self, texts: tuple[str, ...] = ()) -> None:
        self._texts = texts

    def hear(self, document: Document) -> None:
        """Of a record that is sent on."""

    def written(self, withheld: Document, spent: Spent) -> list[Written]:
        """`withheld` is the first record that is not sent."""
        return [Written(text) for text in self._texts]


class OpenAiEnding(Ending):
    """Chat Completions and Completions: each choice gets its finish_reason, whoever asked for usage gets it, and
    `[DONE]` is the end. That usage was asked for is seen in every chunk, which then has that member."""

    def __init__(self) -> None:
        super().__init__()
        self._last: Document = {}
        self._open: set[int] = set()
        self._finished: set[int] = set()

    def hear(self, document: Document) -> None:
        self._last = document
        for choice in _choices(document):
            index = choice.get("index")
            if type(index) is int:
                (self._finished if choice.get("finish_reason") else self._open).add(index)

    def written(self, withheld: Document, spent: Spent) -> list[Written]:
        self.hear({**withheld, "choices": [{**one, "finish_reason": None} for one in _choices(withheld)]})
        same = {name: self._last[name] for name in SAME if name in self._last}
        asked = "usage" in self._last
        unsaid: dict[str, object] = {"usage": None} if asked else {}
        part: dict[str, object] = {"text": ""} if self._last.get("object") == TEXT_COMPLETION else {"delta": {}}
        left = sorted(self._open - self._finished) or [0]
        choices = [{"index": index, **part, "logprobs": None, "finish_reason": "length"} for index in left]
        told: list[dict[str, object]] = [{**same, "choices": choices, **unsaid}]
        if asked:
            usage = dict(zip(("prompt_tokens", "completion_tokens"), spent, strict=True))
            told.append({**same, "choices": [], "usage": {**usage, "total_tokens": sum(spent)}})
        return [*(Written(_spelled(one)) for one in told), Written(DONE)]


class AnthropicEnding(Ending):
    """Messages: an open block is closed, the message says why it stopped and what it came to, and stops."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[int] = []

    def hear(self, document: Document) -> None:
        kind, index = document.get("type"), document.get("index")
        if kind == "content_block_start" and type(index) is int:
            self._open.append(index)
        elif kind == "content_block_stop" and index in self._open:
            self._open.remove(index)

    def written(self, withheld: Document, spent: Spent) -> list[Written]:
        stopped = {"stop_reason": "max_tokens", "stop_sequence": None}
        told: list[dict[str, object]] = [{"type": "content_block_stop", "index": index} for index in self._open]
        told += [
            {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": spent.completion}},
            {"type": "message_stop"},
        ]
        return [Written(_spelled(one), str(one["type"])) for one in told]


class OllamaEnding(Ending):
    """One more line as the others are, which says that it is the last."""

    def written(self, withheld: Document, spent: Spent) -> list[Written]:
        same = {name: withheld[name] for name in ("model", "created_at") if name in withheld}
        part: dict[str, object] = {"message": {"role": "assistant", "content": ""}}
        if "response" in withheld:
            part = {"response": ""}
        last = {**same, **part, "done": True, "done_reason": "length"}
        return [Written(_spelled({**last, "prompt_eval_count": spent.prompt, "eval_count": spent.completion}))]


def ending_of(meter: Meter) -> Ending:
    if meter.ending:
        return Ending(meter.ending)
    made = {Style.OPENAI: OpenAiEnding, Style.ANTHROPIC: AnthropicEnding, Style.OLLAMA: OllamaEnding}.get(meter.style)
    return made() if made else Ending()


def _choices(document: Document) -> list[dict[str, Any]]:
    choices = document.get("choices")
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


def _spelled(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
