"""`extproc explain`: one request, every policy that judges it, and what the upstream would get."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from extproc.app.explain import explain
from extproc.app.explanation import BY_ENVOY, Explanation, Judgement, PartRequest
from extproc.cli.files import read
from extproc.cli.output import console, write_json
from extproc.core.headers import Headers, is_field_value, is_token
from extproc.core.message import Request

SIGNS = {"continue": ("✔", "green"), "refuse": ("✘", "yellow"), "error": ("!", "bold red"), "later": ("…", "cyan")}
COLOURS = {"allow": "green", "redirect": "cyan", "refuse": "yellow"}


def parse_request(
    method: str, target: str, fields: list[str], host: str, address: str, certificate: str = "", body: str = ""
) -> Request:
    """Raises ValueError with a sentence for what no client could send."""
    path, _, query = target.partition("?")
    if not path.startswith("/") or "#" in target or not is_field_value(target) or " " in target:
        raise ValueError("a path begins with / and has no fragment, space or control character")
    if not is_token(method.lower()):
        raise ValueError(f"{method!r} is no method")
    headers = Headers(tuple(map(_field, fields)))
    return Request(
        method.upper(), path, host, query, headers=headers, address=address, certificate=certificate,
        body=body.encode() or None,
    )  # fmt: skip


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not is_token(name.strip().lower()) or not is_field_value(value):
        raise ValueError(f"{text!r} is no header: write 'name: value'")
    return name.strip().lower(), value.strip()


def explain_file(file: Path, request: Request, *, as_json: bool) -> None:
    explanation = asyncio.run(explain(read(file), request))
    if as_json:
        write_json(asdict(explanation))
        return
    out = console()
    for line in lines(explanation):
        out.print(line, soft_wrap=True)


def lines(explanation: Explanation) -> list[Text]:
    return [
        *_request(explanation),
        *_policies(explanation.policies),
        Text(),
        _answer(explanation),
        *_upstream(explanation),
        *_client(explanation),
    ]


def _request(explanation: Explanation) -> list[Text]:
    shown = [
        Text.assemble((f"{explanation.method} {explanation.path}", "bold"), f"  host {explanation.host or '(none)'}")
    ]
    if explanation.removed:
        shown.append(Text(f"removed at the edge: {', '.join(explanation.removed)}", style="dim"))
    if explanation.route:
        calls = ", ".join(explanation.calls) or "none"
        shown.append(
            Text.assemble("route ", (explanation.route, "bold"), f"  {explanation.at}  sidecar calls: {calls}")
        )
    return shown


def _policies(judged: tuple[Judgement, ...]) -> list[Text]:
    """Name, decision and time in columns; behind them the rule, and its place in the file."""
    if not judged:
        return [Text("  no policy judges it", style="dim")]
    width = max(len(one.policy) for one in judged)
    decided = max(len(_decision(one)) for one in judged)
    shown = []
    for one in judged:
        sign, colour = SIGNS.get(one.decision, ("·", "dim"))
        took = f"{one.duration_us / 1000:6.2f} ms" if one.decision in ("continue", "refuse") else " " * 9
        columns = (f" {one.policy:<{width}}  ", (f"{_decision(one):<{decided}}", colour), f"  {took}  ")
        rule, said = "  ".join(filter(None, (one.rule, one.at))), f"\n      {one.said}" if one.said else ""
        shown.append(Text.assemble("  ", (sign, colour), *columns, rule, (said, "dim")))
    return shown


def _decision(one: Judgement) -> str:
    words = {"later": "judges the answer"}
    return " ".join(filter(None, (words.get(one.decision, one.decision), one.reason)))


def _answer(explanation: Explanation) -> Text:
    status = str(int(explanation.status)) if explanation.status else ""
    parts = (
        explanation.decision,
        status,
        explanation.reason if explanation.decision == "refuse" else "",
        explanation.detail,
    )
    colour = COLOURS.get(explanation.decision, "red")
    refused = next((one for one in explanation.policies if one.decision in ("refuse", "error")), None)
    by = f"  by {refused.policy}, {refused.at}" if refused else ""
    return Text.assemble((" ".join(filter(None, parts)), f"bold {colour}"), by)


def _upstream(explanation: Explanation) -> list[Text]:
    if explanation.parts:
        return [line for part in explanation.parts for line in _part(part)]
    arriving = explanation.upstream
    if arriving is None:
        return [Text("the upstream gets nothing", style="dim")]
    return [
        Text.assemble("the upstream ", (arriving.upstream, "bold"), " gets"),
        Text(f"  {arriving.method} {arriving.path}"),
        *(Text(f"  {name}: {value}") for name, value in arriving.headers),
        Text(f"  and from Envoy {', '.join(BY_ENVOY)}", style="dim"),
    ]


def _part(part: PartRequest) -> list[Text]:
    """One call of an aggregate; where it waits for another, or would not be made, the template stands for its path."""
    told = Text.assemble("for ", (part.part, "bold"), " the upstream ", (part.upstream, "bold"), " gets")
    said = f", {part.said}" if part.said else ""
    fields = [Text(f"  {name}: {value}") for name, value in part.headers]
    return [told, Text(f"  {part.method} {part.path}{said}"), *fields]


def _client(explanation: Explanation) -> list[Text]:
    if not explanation.client_headers and not explanation.body:
        return []
    beside = "beside the upstream's answer, " if explanation.upstream else ""
    fields = [Text(f"  {name}: {value}") for name, value in explanation.client_headers]
    return [Text(f"{beside}the client gets"), *fields, *([Text(f"  {explanation.body}")] if explanation.body else [])]
