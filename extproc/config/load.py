"""gateway.yaml -> Loaded, or every problem at once with its place in the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from extproc.config.environment import substitute
from extproc.config.model import Config
from extproc.config.references import check_references, nearest
from extproc.config.settings import FOLDER
from extproc.config.source import Source, parse
from extproc.core.problems import Finding, InvalidConfig, Path, Problem, spell_path

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
# What decides about requests; where a listener or an upstream is bound to does not, and differs between machines.
DECIDING: Final = ("defaults", "authentication", "tiers", "models", "routes")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The settings that each plugin kind takes, by the kind's name."""

    policies: Mapping[str, type[BaseModel]]
    authenticators: Mapping[str, type[BaseModel]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that holds together. `settings` has the validated settings of every plugin use, by its path;
    `revision` is a fingerprint of all that decides about requests."""

    file: FilePath
    config: Config
    settings: Mapping[Path, BaseModel]
    revision: str
    source: Source = field(repr=False)

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        return place(str(self.file), self.source, Finding(path, message, hint))


def load(file: FilePath, environment: Mapping[str, str], kinds: Kinds, text: str | None = None) -> Loaded:
    """Read and check a file (or `text` as if it stood there).

    Raises:
        InvalidConfig: with every problem found.
    """
    source = parse(_read(file) if text is None else text, lambda scalar: substitute(scalar, environment))
    context = {FOLDER: file.absolute().parent}
    findings = list(source.findings)
    config = _validate(Config, source.data, (), context, findings)
    settings = _plugin_settings(source.data, kinds, context, findings)
    findings += check_references(source.data)
    if findings or config is None:
        problems = sorted({place(str(file), source, finding) for finding in findings}, key=_order)
        raise InvalidConfig(problems)
    return Loaded(file, config, settings, _revision(source.data), source)


def _read(file: FilePath) -> str:
    try:
        content = file.read_bytes()
        if len(content) > MAX_FILE_BYTES:
            raise InvalidConfig([Problem(str(file), 1, 1, "", f"larger than {MAX_FILE_BYTES} bytes")])
        return content.decode("utf-8")
    except OSError as error:
        raise InvalidConfig([Problem(str(file), 1, 1, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise InvalidConfig([Problem(str(file), 1, 1, "", "is not UTF-8 text")]) from None


def place(file: str, source: Source, finding: Finding) -> Problem:
    line, column = source.position(finding.path)
    path = tuple(part for part in finding.path if part != "#duplicate")
    path = path[:-1] if len(path) != len(finding.path) else path
    return Problem(file, line, column, spell_path(path), finding.message, finding.hint)


def _order(problem: Problem) -> tuple[int, int, str]:
    return (problem.line, problem.column, problem.message)


def _validate(
    model: type[BaseModel], data: Any, prefix: Path, context: Mapping[str, Any], findings: list[Finding]
) -> Any:
    try:
        return model.model_validate(data, context=dict(context))
    except ValidationError as invalid:
        findings += [_finding(model, prefix, error) for error in invalid.errors(include_url=False)]
        return None


def _finding(model: type[BaseModel], prefix: Path, error: ErrorDetails) -> Finding:
    where = tuple(part for part in error["loc"] if part != "[key]")
    path = prefix + where
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, where[:-1])
        return Finding(path, f"unknown key {where[-1]!r}", nearest(str(where[-1]), known))
    if error["type"] == "missing":
        return Finding(path, "is missing")
    message = error["msg"].removeprefix("Value error, ")
    return Finding(
        path, message[:1].lower() + message[1:] if message.startswith(("Input", "String", "List")) else message
    )


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that may be written where the path leads, following containers."""
    current: Any = model
    for part in path:
        fields = _model_in(current)
        current = fields.model_fields[part].annotation if fields and part in fields.model_fields else current
    reached = _model_in(current)
    return sorted(reached.model_fields) if reached else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def _plugin_settings(
    data: Any, kinds: Kinds, context: Mapping[str, Any], findings: list[Finding]
) -> dict[Path, BaseModel]:
    """Every `{KIND: settings}` of the authentication block and every `{use: KIND, ...}`, checked by its own kind."""
    settings: dict[Path, BaseModel] = {}

    def check(known: Mapping[str, type[BaseModel]], kind: Any, own: Any, path: Path, named_at: Path, what: str) -> None:
        if kind not in known:
            findings.append(Finding(named_at, f"there is no {what} {kind!r}", nearest(str(kind), known)))
            return
        valid = _validate(known[kind], own, path, context, findings)
        if valid is not None:
            settings[named_at] = valid

    _each_authenticator(data, findings, lambda path, kind, own: check(
        kinds.authenticators, kind, own, path, path, "kind of authentication"))  # fmt: skip
    for path, use in _policy_uses(data):
        own = {key: value for key, value in use.items() if key != "use"}
        check(kinds.policies, use.get("use"), own, path, (*path, "use"), "policy kind")
    return settings


def _each_authenticator(data: Any, findings: list[Finding], check: Callable[[Path, str, Any], None]) -> None:
    block = data.get("authentication") if isinstance(data, dict) else None
    for name, method in block.items() if isinstance(block, dict) else ():
        if not isinstance(method, dict) or len(method) != 1:
            findings.append(Finding(("authentication", name), "write one kind, as {api_key: {header: x-api-key}}"))
            continue
        kind, own = next(iter(method.items()))
        check(("authentication", name, kind), kind, {} if own is None else own)


def _policy_uses(data: Any) -> list[tuple[Path, dict[str, Any]]]:
    if not isinstance(data, dict):
        return []
    blocks: list[tuple[Path, Any]] = [(("defaults",), data.get("defaults"))]
    routes = data.get("routes")
    blocks += [(("routes", index), route) for index, route in enumerate(routes if isinstance(routes, list) else [])]
    return [
        ((*path, "policies", index), use)
        for path, block in blocks
        if isinstance(block, dict) and isinstance(block.get("policies"), list)
        for index, use in enumerate(block["policies"])
        if isinstance(use, dict)
    ]


def _revision(data: Mapping[str, Any]) -> str:
    written = json.dumps({key: data.get(key) for key in DECIDING}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(written.encode()).hexdigest()[:16]
