"""`extproc audit`: what a file gives away, in sentences or as JSON."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from extproc.audit.catalogue import IDS, Kind, as_written, audit, kind_of, with_environment
from extproc.audit.rule import Finding
from extproc.audit.severity import ORDER, Severity
from extproc.cli.failures import Exit
from extproc.cli.files import text_of
from extproc.cli.output import console, write_json
from extproc.config.load import place
from extproc.config.source import Source

MAX_BYTES: Final = 64 * 1024 * 1024  # a dump of a large mesh
COLOURS: Final = {Severity.HIGH: "bold red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
NEITHER: Final = "is neither a gateway file (no routes) nor an Envoy configuration (no static_resources)"


class Unreadable(Exception):
    """The file cannot be judged, in sentences for whoever wrote it."""


def unknown_rules(named: Iterable[str]) -> str:
    """A sentence about the rules that there are not, or nothing."""
    for name in named:
        if name not in IDS:
            near = get_close_matches(name, IDS, 1)
            return f"there is no rule {name!r}" + (f": did you mean {near[0]}?" if near else "")
    return ""


def audit_file(file: Path, ignored: frozenset[str], least: Severity, *, as_json: bool) -> None:
    """Ends with 1 where something was found."""
    source, kind = _read(file)
    findings = audit(source, kind, ignored, least)
    if as_json:
        _write(file, kind, findings)
    else:
        show(file, findings, console())
    if findings:
        sys.exit(Exit.FINDINGS)


def _read(file: Path) -> tuple[Source, Kind]:
    text = text_of(file)
    text = _file(file) if text is None else text
    source = as_written(text)
    kind = kind_of(source.data) if source.readable else None
    if kind is Kind.GATEWAY:
        source = with_environment(text, os.environ)  # noqa: TID251 - a command runs in the operator's environment
    if source.findings:  # a value that is not seen cannot be judged
        raise Unreadable("\n".join(str(place(str(file), source, one)) for one in source.findings))
    if kind is None:
        raise Unreadable(f"{file} {NEITHER}")
    return source, kind


def _file(file: Path) -> str:
    if file.stat().st_size > MAX_BYTES:
        raise Unreadable(f"{file} is larger than {MAX_BYTES} bytes")
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(f"{file} is not UTF-8 text") from None


def _counts(findings: Iterable[Finding]) -> dict[str, int]:
    counted = Counter(finding.severity for finding in findings)
    return {str(severity): counted[severity] for severity in ORDER}


def _write(file: Path, kind: Kind, findings: list[Finding]) -> None:
    write_json({
        "ok": not findings, "file": str(file), "kind": str(kind), "totals": _counts(findings),
        "findings": [asdict(finding) for finding in findings],
    })  # fmt: skip


def show(file: Path, findings: list[Finding], out: Console) -> None:
    """A line for each finding, for grep; what to do stands once, below the last finding of a rule."""
    for one, after in zip_longest(findings, findings[1:]):
        first = Text.assemble(
            f"{file}:{one.line}:{one.column}: ", (str(one.severity), COLOURS[one.severity]), " ", (one.rule, "bold"),
            f" {one.path}: {one.weakens}",
        )  # fmt: skip
        out.print(first, soft_wrap=True)
        if after is None or after.rule != one.rule:
            out.print(Text(f"    {one.mend} ({one.reference})", "dim"), soft_wrap=True)
    said = ", ".join(f"{number} {severity}" for severity, number in _counts(findings).items() if number)
    out.print(Text(f"{file}: {said or 'nothing found'}"), soft_wrap=True)
