"""What is written of a meter -> the one that counts: the words of its style, but for those that are written."""

from __future__ import annotations

from extproc.config.meter import MeterUse
from extproc.core.metering import STYLES, Meter, Style, parse_places


def meter_of(use: MeterUse) -> Meter:
    style = Style(use.style)
    words = STYLES[style]
    return Meter(
        style,
        usage=tuple([parse_places(text) for text in use.usage or words.usage]),
        texts=tuple([parse_places(text)[0] for text in use.text or words.text]),
        bytes_per_token=use.bytes_per_token,
        reserve=tuple([parse_places(text)[0] for text in use.reserve]),
        ending=tuple(use.ending),
    )


def meter_brief(meter: Meter) -> str:
    return f"as {meter.style.value} says" if meter.style is not Style.OTHER else "as usage and text say"


def meter_rule(meter: Meter) -> str:
    """`as openai says, else a token for 4 bytes; reserves max_tokens`."""
    said = meter_brief(meter)
    reserved = [".".join(step or "[]" for step in path).replace(".[]", "[]") for path in meter.reserve]
    return f"{said}, else a token for {meter.bytes_per_token} bytes" + (
        f"; reserves {' or '.join(reserved)}" if reserved else ""
    )
