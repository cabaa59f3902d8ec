"""compose/docker-compose.yaml and compose/Dockerfile as tests read them. Nothing is started here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "compose"
FILE: Final = FOLDER / "docker-compose.yaml"
DOCKERFILE: Final = FOLDER / "Dockerfile"
IMAGE: Final = "envoy-extproc:local"
VARIABLE: Final = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}|\$(?P<bare>\w+)")

Service = dict[str, Any]


def written() -> dict[str, Any]:
    """The file, anchors followed and variables left as they are written."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return document


def composed(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with its variables put in."""
    document: dict[str, Any] = _interpolated(written(), environment or {})
    return document


def services(environment: Mapping[str, str] | None = None) -> dict[str, Service]:
    found: dict[str, Service] = composed(environment)["services"]
    return found


def started_by_default() -> dict[str, Service]:
    return {name: service for name, service in services().items() if "profiles" not in service}


def long_running() -> dict[str, Service]:
    return {name: service for name, service in services().items() if service["restart"] != "no"}


def texts(value: Any) -> Iterator[str]:
    """Every text in a document, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in (*value, *value.values()):
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def dependencies(service: Service) -> dict[str, str]:
    """Service -> the condition under which the other may start."""
    return {name: rule["condition"] for name, rule in service.get("depends_on", {}).items()}


@dataclass(frozen=True, slots=True)
class Mount:
    source: str
    target: str
    read_only: bool

    @property
    def is_named(self) -> bool:
        return not self.source.startswith((".", "/"))


def mounts(service: Service) -> list[Mount]:
    return [_mount(written) for written in service.get("volumes", [])]


def _mount(written: str | dict[str, Any]) -> Mount:
    if isinstance(written, dict):
        return Mount(written["source"], written["target"], bool(written.get("read_only")))
    source, target, *options = written.split(":")
    return Mount(source, target, options == ["ro"])


def _interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _value(match, environment), value)
    if isinstance(value, dict):
        return {key: _interpolated(one, environment) for key, one in value.items()}
    return [_interpolated(one, environment) for one in value] if isinstance(value, list) else value


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    return environment.get(match["name"] or match["bare"]) or match["default"] or ""


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    text: str

    def words(self) -> list[str]:
        return shlex.split(self.text)


def instructions() -> list[Instruction]:
    """The Dockerfile, one instruction each, comments gone and continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    pairs = [line.partition(" ") for line in joined if line.strip()]
    return [Instruction(name.upper(), text.strip()) for name, _, text in pairs]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.name == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def final(name: str) -> list[Instruction]:
    """What the last stage has of one kind of instruction."""
    return [instruction for instruction in stages()[-1] if instruction.name == name]
