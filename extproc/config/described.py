"""A model -> its JSON Schema as an operator should see it: defaults spelled as in the file, and no names of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from extproc.config.settings import PERIODS, UNITS, HostPort, Rate
from extproc.config.spelling import CALLED

JsonSchema = dict[str, Any]

PERIOD_NAMES: Final = {seconds: name for name, seconds in PERIODS.items()}
DEFINITIONS: Final = "#/$defs/"
SIMPLE: Final = (str, int, float, bool)
UNSAID: Final = object()  # a default that has no spelling


def described(model: type[BaseModel], prefix: str) -> tuple[JsonSchema, dict[str, JsonSchema]]:
    """The schema of a model, and the definitions that it refers to, each called `prefix.something`."""
    schema: JsonSchema = model.model_json_schema(schema_generator=_Generator)
    definitions = schema.pop("$defs", {})
    names = {name: f"{prefix}.{_dashed(name)}" for name in definitions}
    renamed = {names[name]: _tidy(definition, names) for name, definition in definitions.items()}
    root = _tidy(schema, names)
    if "$ref" in root:  # a model that holds itself is a definition too
        root = {**renamed[root["$ref"].removeprefix(DEFINITIONS)]}
    return root, renamed


class _Generator(GenerateJsonSchema):
    """Of a type that JSON Schema cannot say, nothing is said: whatever stands there, the loader judges it."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        named = super().model_schema(schema)
        return {key: value for key, value in named.items() if (key, value) != ("title", schema["cls"].__name__)}

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        return _repeatable(super().set_schema(schema))

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        return _repeatable(super().frozenset_schema(schema))

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = self.get_default_value(schema)
        spelled = UNSAID if default is NoDefault else spell(default)
        return inner if spelled is UNSAID else {**inner, "default": spelled}


def _repeatable(schema: JsonSchemaValue) -> JsonSchemaValue:
    """A set may be written with an item twice."""
    return {key: value for key, value in schema.items() if key != "uniqueItems"}


def spell(value: Any) -> Any:
    """A default as it would be written. Nothing, and a mapping whose keys have defaults of their own, are unsaid."""
    if isinstance(value, Mapping):
        members = {str(key): spell(item) for key, item in value.items()}
        return UNSAID if UNSAID in members.values() else members
    if isinstance(value, list | tuple | set | frozenset):
        items = [spell(item) for item in value]
        return UNSAID if UNSAID in items else items
    return _spelled(value)


def _spelled(value: Any) -> Any:
    if isinstance(value, Enum):
        return spell(value.value)
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Rate):
        return f"{value.count}/{PERIOD_NAMES[value.period]}"
    if isinstance(value, HostPort | PurePath):
        return str(value)
    return value if isinstance(value, SIMPLE) else UNSAID


def _duration(value: timedelta) -> str:
    milliseconds = value // timedelta(milliseconds=1)
    unit = next(unit for unit in reversed(UNITS) if milliseconds % UNITS[unit] == 0)
    return f"{milliseconds // UNITS[unit]}{unit}"


def _dashed(name: str) -> str:
    """`TrustedProxies` -> `trusted-proxies`: whoever reads the schema need not know that it is a class."""
    return re.sub(r"[^a-z0-9_.-]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower())


def _tidy(value: Any, names: Mapping[str, str]) -> Any:
    """References renamed, descriptions on one line, keys of mappings where every reader looks for them."""
    if isinstance(value, list):
        return [_tidy(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    tidied = {key: _tidy(item, names) for key, item in value.items()}
    if CALLED in tidied:
        tidied["title"] = tidied.pop(CALLED)
    if isinstance(tidied.get("$ref"), str):
        tidied["$ref"] = DEFINITIONS + names[tidied["$ref"].removeprefix(DEFINITIONS)]
    if isinstance(tidied.get("description"), str):
        tidied["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", tidied["description"])
    patterns = tidied.get("patternProperties")
    if isinstance(patterns, dict) and len(patterns) == 1 and "additionalProperties" not in tidied:
        ((pattern, values),) = tidied.pop("patternProperties").items()
        tidied["propertyNames"] = {**tidied.get("propertyNames", {}), "pattern": pattern}
        tidied["additionalProperties"] = values
    return tidied
