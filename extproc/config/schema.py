"""gateway.yaml's JSON Schema: what editors complete and check against, and what docs/configuration.md is made of.

It accepts whatever the loader accepts, and refuses what can be refused without knowing the environment, other files or
the meaning of an expression. A kind whose Settings have a validator that reads other types than the field has must say
so itself (pydantic's `json_schema_input_type`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from extproc.config.agreements import having
from extproc.config.described import DEFINITIONS, JsonSchema, described
from extproc.config.load import Kinds
from extproc.config.model import Config
from extproc.config.substitutable import SHARED, substitutable

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
IDENTITY: Final = "urn:extproc:gateway"
POLICY_USE: Final = "gateway.policy-use"
METHOD: Final = "authentication"
RESERVED: Final = "none"  # what `authenticate` says for nobody


def gateway_schema(kinds: Kinds) -> JsonSchema:
    """The schema of a file that may use these kinds."""
    language = language_schema(kinds)
    definitions = {name: substitutable(schema) for name, schema in language.pop("$defs").items()}
    head = {"$schema": DRAFT, "$id": IDENTITY, "title": "extproc gateway"}
    return {**head, **substitutable(language), "$defs": {**definitions, **SHARED}}


def schema_text(kinds: Kinds) -> str:
    """As it is written into a file."""
    return json.dumps(gateway_schema(kinds), indent=2) + "\n"


def language_schema(kinds: Kinds) -> JsonSchema:
    """As it would be if nothing could be written as a reference to the environment: what the documentation tells."""
    schema, definitions = described(Config, "gateway")
    named = {f"policy.{name}": _policy(name, kind) for name, kind in kinds.policies.items()}
    named |= {f"authentication.{name}": described(kind, name) for name, kind in kinds.authenticators.items()}
    for name, (kind, inner) in named.items():
        definitions |= {name: kind, **inner}
    definitions[POLICY_USE] = _any_policy(kinds.policies)
    definitions[METHOD] = _any_method(kinds.authenticators)
    methods = schema["properties"]["authentication"]
    methods["additionalProperties"] = {"$ref": DEFINITIONS + METHOD}
    methods["propertyNames"] = {**methods["propertyNames"], "not": {"const": RESERVED}}
    return {**schema, "$defs": definitions}


def _policy(name: str, settings: type[BaseModel]) -> tuple[JsonSchema, dict[str, JsonSchema]]:
    """The kind's settings with `use: NAME` beside them."""
    schema, inner = described(settings, f"policy.{name}")
    use = {"const": name, "description": "The kind of policy."}
    properties = {"use": use, **schema.get("properties", {})}
    return {**schema, "properties": properties, "required": ["use", *schema.get("required", [])]}, inner


def _any_policy(kinds: Mapping[str, Any]) -> JsonSchema:
    """The kind decides what stands beside it; where the kind itself is a variable, anything may."""
    use = {"enum": sorted(kinds), "description": "The kind of policy."}
    each = [
        {"if": having(use={"const": name}), "then": {"$ref": f"{DEFINITIONS}policy.{name}"}} for name in sorted(kinds)
    ]
    return {"type": "object", "required": ["use"], "properties": {"use": use}, "allOf": each}


def _any_method(kinds: Mapping[str, type[BaseModel]]) -> JsonSchema:
    """Exactly one kind with its settings, which may be left out where all have defaults."""
    return {
        "type": "object",
        "description": "One way of saying who is asking: its kind, with that kind's settings.",
        "properties": {name: _settings_of(name, kind) for name, kind in sorted(kinds.items())},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _settings_of(name: str, kind: type[BaseModel]) -> JsonSchema:
    settings = {"$ref": f"{DEFINITIONS}authentication.{name}"}
    needed = any(field.is_required() for field in kind.model_fields.values())
    return settings if needed else {"anyOf": [settings, {"type": "null"}]}
