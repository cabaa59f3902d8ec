"""gateway.yaml -> Loaded, or every problem at once with its place in the file."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from extproc.config.aggregates import check_aggregates
from extproc.config.changes import Change, apply
from extproc.config.environment import substitute
from extproc.config.meter import check_meters
from extproc.config.model import Config
from extproc.config.permissions import check_permissions
from extproc.config.quota_stream import check_quota_stream
from extproc.config.references import check_references
from extproc.config.sentences import finding, nearest
from extproc.config.settings import FOLDER
from extproc.config.source import Source, parse
from extproc.config.succession import check_versions
from extproc.core.errors import ExtprocError
from extproc.core.problems import Finding, InvalidConfig, Path, Problem, spell_path

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
# What decides about requests; where a listener or an upstream is bound to does not, and differs between machines.
DECIDING: Final = ("defaults", "authentication", "tiers", "consumers", "limits", "models", "versions", "routes")
# Of a model and of its versions: what moves callers later on decides about no single request.
MOVING: Final = ("ramp", "guard", "candidate")
PRICED: Final = ("price",)


@dataclass(frozen=True, slots=True)
class Kinds:
    """The settings that each plugin kind takes, by the kind's name. Where some could not be read it is not `complete`,
    and a name that is not here is no mistake of the file's."""

    policies: Mapping[str, type[BaseModel]]
    authenticators: Mapping[str, type[BaseModel]]
    complete: bool = True


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


def load(
    file: FilePath,
    environment: Mapping[str, str],
    kinds: Kinds,
    text: str | None = None,
    changes: Sequence[Change] = (),
) -> Loaded:
    """Read and check a file (or `text` as if it stood there), with `changes` as if they were written in it.

    Raises:
        InvalidConfig: with every problem found.
    """
    source = parse(_read(file) if text is None else text, lambda scalar: substitute(scalar, environment))
    context = {FOLDER: file.absolute().parent}
    findings: list[Finding] = []
    for change in changes if source.readable else ():
        source.findings += apply(change, source, lambda scalar: substitute(scalar, environment))
    config = _validate(Config, source.data, (), context, findings) if source.readable else None
    settings = _plugin_settings(source.data, kinds, context, findings)
    checks = (check_references, check_permissions, check_quota_stream, check_versions, check_aggregates, check_meters)
    for check in checks if source.readable else ():
        findings += check(source.data)
    # What could not be read is no value: whatever else is said about it would be said twice.
    unread = {item.path for item in source.findings}
    findings = [*source.findings, *(item for item in findings if not _prefixes(item.path) & unread)]
    if findings or config is None:
        raise InvalidConfig(sorted({place(str(file), source, item) for item in findings}, key=_order))
    return Loaded(file, config, settings, _revision(source.data, config, settings), source)


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
    changed = source.changed_at(finding.path)
    if changed is not None:
        return Problem(f"--set {changed}", 1, 1, spell_path(finding.path), finding.message, finding.hint)
    line, column = source.position(finding.path)
    repeated = finding.path and isinstance(finding.path[-1], int) and finding.path[-1] < 0
    path = finding.path[:-1] if repeated else finding.path
    return Problem(file, line, column, spell_path(path), finding.message, finding.hint)


def _prefixes(path: Path) -> set[Path]:
    return {path[:length] for length in range(len(path) + 1)}


def _order(problem: Problem) -> tuple[int, int, str, str]:
    return (problem.line, problem.column, problem.path, problem.message)


def _validate(
    model: type[BaseModel], data: Any, prefix: Path, context: Mapping[str, Any], findings: list[Finding]
) -> Any:
    try:
        return model.model_validate(data, context=dict(context))
    except ValidationError as invalid:
        findings += [finding(model, prefix, error) for error in invalid.errors(include_url=False)]
    except ExtprocError as refused:  # pydantic lets what is no ValueError through, as an edit that no policy may make
        findings.append(Finding(prefix, str(refused)))
    except Exception as error:  # noqa: BLE001 - a plugin's own validator may raise whatever it likes
        findings.append(Finding(prefix, f"cannot be checked: {type(error).__name__} in {model.__name__}"))
    return None


def _plugin_settings(
    data: Any, kinds: Kinds, context: Mapping[str, Any], findings: list[Finding]
) -> dict[Path, BaseModel]:
    """Every `{KIND: settings}` of the authentication block and every `{use: KIND, ...}`, checked by its own kind."""
    settings: dict[Path, BaseModel] = {}

    def check(known: Mapping[str, type[BaseModel]], kind: Any, own: Any, path: Path, named_at: Path, what: str) -> None:
        if kind not in known:
            if kinds.complete:
                findings.append(Finding(named_at, f"there is no {what} {kind!r}", nearest(str(kind), known)))
            return
        valid = _validate(known[kind], own, path, context, findings)
        if valid is not None:
            settings[named_at] = valid

    _each_authenticator(data, findings, lambda path, kind, own: check(
        kinds.authenticators, kind, own, path, path, "kind of authentication"))  # fmt: skip
    for path, use in _policy_uses(data):
        own = {key: value for key, value in use.items() if key != "use"}
        check(kinds.policies, use["use"], own, path, (*path, "use"), "policy kind")
    return settings


def _each_authenticator(data: Any, findings: list[Finding], check: Callable[[Path, str, Any], None]) -> None:
    block = data.get("authentication") if isinstance(data, dict) else None
    for name, method in block.items() if isinstance(block, dict) else ():
        if not isinstance(method, dict):
            continue
        if len(method) != 1:
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
        if isinstance(use, dict) and isinstance(use.get("use"), str)
    ]


def _revision(data: Mapping[str, Any], config: Config, settings: Mapping[Path, BaseModel]) -> str:
    """Of what was written, but for names of files, since the machine that serves is often not the one that rendered,
    and for secrets: a fingerprint of a short one would tell it."""
    deciding = copy.deepcopy({key: data.get(key) for key in DECIDING})
    for model in (deciding["models"] or {}).values():
        _forget(model, MOVING)
        for version in model["versions"].values():
            _forget(version, PRICED)
    _leave_out(deciding, config)
    for path, own in settings.items():
        _leave_out(_at(deciding, path[:-1] if path[-1] == "use" else path), own)
    text = json.dumps(deciding, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _forget(written: Any, keys: Iterable[str]) -> None:
    for key in keys:
        written.pop(key, None)


def _leave_out(written: Any, read: Any) -> None:
    """Takes out of what was written whatever was read as the name of a file or as a secret, however deep."""
    for name, value in _members(read):
        if not _has(written, name):
            continue
        if isinstance(value, FilePath | SecretStr):
            written[name] = None
        else:
            _leave_out(written[name], value)


def _members(read: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(read, BaseModel):
        return iter(read)
    if isinstance(read, Mapping):
        return read.items()
    return enumerate(read) if isinstance(read, list | tuple) else ()


def _has(written: Any, name: Any) -> bool:
    """A short spelling has no members of its own: `tier` for `{per: tier}`."""
    if isinstance(written, list):
        return isinstance(name, int) and name < len(written)
    return isinstance(written, dict) and name in written


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
