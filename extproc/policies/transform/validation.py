"""Whether a request's body is what a JSON Schema, or an OpenAPI description, says it is.

Patterns run in linear time (Rust's regex) and nothing is fetched for a `$ref`, so no schema can be made to cost a
request more than its body's size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import jsonschema_rs
import yaml

from extproc import LocalReply, Request, refusal

MOST_ERRORS: Final = 8  # told to a client: more would help nobody
LONGEST_PLACE: Final = 128
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
# Those whose requests have bodies (RFC 9110 §9.3): one that has none is not what was described.
WITH_BODIES: Final = frozenset({"POST", "PUT", "PATCH"})


class Described(Protocol):
    def unfit(self, request: Request, document: Any, body: bytes | None) -> LocalReply | None:
        """Why the request is refused; None where it fits."""


@dataclass(frozen=True, slots=True)
class BySchema:
    validator: jsonschema_rs.Validator
    required: bool = True

    def unfit(self, request: Request, document: Any, body: bytes | None) -> LocalReply | None:
        if not body:
            missing = self.required and request.method in WITH_BODIES
            return _unfit([{"at": "", "rule": "required"}]) if missing else None
        value = json.loads(body) if document is None else document  # read strictly by now: a text, a number, null
        if self.validator.is_valid(value):
            return None
        return _unfit(list(_errors(self.validator, value)))


@dataclass(frozen=True, slots=True)
class ByOpenApi:
    """`operations` by the pattern of their path: what each method's body must be, None where it says nothing of one."""

    operations: Sequence[tuple[re.Pattern[str], Mapping[str, BySchema | None]]]

    def unfit(self, request: Request, document: Any, body: bytes | None) -> LocalReply | None:
        found = [methods for pattern, methods in self.operations if pattern.fullmatch(request.path)]
        if not found:
            return refusal(HTTPStatus.NOT_FOUND, "unknown_operation", "there is no such operation")
        methods = found[0]
        if request.method not in methods:
            allowed = {"allow": ", ".join(sorted(methods))}
            return refusal(
                HTTPStatus.METHOD_NOT_ALLOWED, "unknown_operation", "there is no such operation", headers=allowed
            )
        described = methods[request.method]
        return described.unfit(request, document, body) if described else None


def described_by(schema: Path | None, openapi: Path | None) -> Described | None:
    """Raises ValueError for a file that cannot be read, or describes nothing that can be checked."""
    if schema is not None:
        return BySchema(_validator(_read(schema)))
    return _operations(_read(openapi)) if openapi is not None else None


def _read(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{file.name} cannot be read: {type(error).__name__}") from None


def _validator(schema: Any) -> jsonschema_rs.Validator:
    if not isinstance(schema, dict | bool):
        raise ValueError("a JSON Schema is an object")
    try:
        return jsonschema_rs.validator_for(schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_nothing)
    except ValueError as error:
        raise ValueError(f"no JSON Schema: {str(error).splitlines()[0]}") from None


def _nothing(uri: str) -> Any:
    raise ValueError("a $ref leads inside of its own file")


def _errors(validator: jsonschema_rs.Validator, document: Any) -> Any:
    """Where, and which rule of the schema: never the value, which the client knows and no log should."""
    for count, error in enumerate(validator.iter_errors(document), 1):
        place = "".join(f"/{_pointer(step)}" for step in error.instance_path)
        yield {"at": place[:LONGEST_PLACE], "rule": str(error.schema_path[-1]) if error.schema_path else "false"}
        if count == MOST_ERRORS:
            return


def _pointer(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _unfit(errors: list[dict[str, str]]) -> LocalReply:
    return refusal(HTTPStatus.BAD_REQUEST, "invalid_body", "the body is not what it must be", errors=errors)


def _operations(description: Any) -> ByOpenApi:
    if not isinstance(description, dict) or not str(description.get("openapi", "")).startswith("3."):
        raise ValueError("no OpenAPI description of version 3")
    old = str(description["openapi"]).startswith("3.0")
    base = _base(description)
    paths = description.get("paths") or {}
    operations = [
        (_pattern(base + template), _methods(description, item or {}, old=old)) for template, item in paths.items()
    ]
    # A path without parameters before one with them (OpenAPI 3.1, Paths Object).
    operations.sort(key=lambda one: one[0].pattern.count("[^/]+"))
    return ByOpenApi(tuple(operations))


def _base(description: Mapping[str, Any]) -> str:
    servers = description.get("servers") or [{"url": ""}]
    return urlsplit(str(servers[0].get("url", ""))).path.rstrip("/")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^{}/]+\}", template)
    return re.compile("[^/]+".join(map(re.escape, parts)))


def _methods(description: Mapping[str, Any], item: Mapping[str, Any], *, old: bool) -> dict[str, BySchema | None]:
    return {
        method.upper(): _of_operation(description, operation, old=old)
        for method, operation in item.items()
        if method in METHODS
    }


def _of_operation(description: Mapping[str, Any], operation: Mapping[str, Any], *, old: bool) -> BySchema | None:
    body = _followed(description, operation.get("requestBody") or {})
    media = next((value for name, value in (body.get("content") or {}).items() if "json" in name), None)
    if media is None or "schema" not in media:
        return None
    # The whole description beside it, so that its `$ref`s lead somewhere.
    components = description.get("components") or {}
    schema = {"allOf": [media["schema"]], "components": components}
    return BySchema(_validator(_modern(schema) if old else schema), required=bool(body.get("required", False)))


def _followed(description: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(value.get("$ref", ""))
    if not name:
        return value
    found: Any = description
    for step in name.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"{name} leads nowhere")
    return found


def _modern(schema: Any) -> Any:
    """A schema of OpenAPI 3.0 in the words of JSON Schema: `nullable`, and limits that are excluded."""
    if isinstance(schema, list):
        return [_modern(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _modern(value) for key, value in schema.items()}
    if told.get("nullable") is True and isinstance(told.get("type"), str):
        told["type"] = [told.pop("type"), "null"]
        if isinstance(told.get("enum"), list) and None not in told["enum"]:
            told["enum"] = [*told["enum"], None]
    for word, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(told.get(word), bool):
            excluded = told.pop(word)
            if excluded and limit in told:
                told[word] = told.pop(limit)
    return told
