"""A schema of the values -> a schema of what may be written for them: `${NAME}` in place of any, numbers in quotes.

What a reference stands for is known when the gateway starts, so to an editor any will do, and so will a text that is
made of one and something else. Values in quotes are texts until the models read them, which take "2" for a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from extproc.config.described import DEFINITIONS, JsonSchema

REFERENCE: Final = r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::=[^}]*)?\}"
PLAIN: Final = r"[^$]|\$(?!\{)"
WITH_REFERENCE: Final = rf"(?:{PLAIN})*{REFERENCE}(?:{PLAIN}|{REFERENCE})*"
NUMBER: Final = r"\s*[-+]?(?:(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[iI]nf(?:inity)?|[nN]a[nN])\s*"
BOOLEAN: Final = "|".join(
    "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in word)
    for word in ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0")
)
TEXT_NAME, REFERENCE_NAME, NUMBER_NAME, BOOLEAN_NAME = "text", "reference", "number-in-text", "true-or-false"
SHARED: Final[Mapping[str, JsonSchema]] = {
    REFERENCE_NAME: {
        "type": "string",
        "pattern": f"^{WITH_REFERENCE}$",
        "description": "A variable of the environment: ${NAME}, or ${NAME:=default}.",
    },
    TEXT_NAME: {
        "type": "string",
        "pattern": f"^(?:{PLAIN}|{REFERENCE})*$",
        "errorMessage": "write ${NAME} or ${NAME:=default}",
    },
    NUMBER_NAME: {"type": "string", "pattern": f"^(?:{NUMBER}|{WITH_REFERENCE})$"},
    BOOLEAN_NAME: {
        "anyOf": [
            {"type": "boolean"},
            {"enum": [0, 1]},
            {"type": "string", "pattern": f"^(?:{BOOLEAN}|{WITH_REFERENCE})$"},
        ]
    },
}  # fmt: skip
SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "null"})
ABOUT: Final[tuple[str, ...]] = ("title", "description", "default", "examples", "deprecated")
# Pydantic reads these from numbers as well.
TIMES: Final = frozenset({"duration", "date", "date-time", "time"})
MEMBERS: Final = ("properties", "$defs", "patternProperties")
INSIDE: Final = ("items", "additionalProperties")


def substitutable(schema: JsonSchema) -> JsonSchema:
    """The same, where every value may be written with references. What keys must agree on stays as it is."""
    about = {key: schema[key] for key in ABOUT if key in schema}
    ways = _sorted(_ways({key: value for key, value in schema.items() if key not in ABOUT}))
    return {**about, **ways[0]} if len(ways) == 1 else {**about, "anyOf": ways}


def _ways(schema: JsonSchema) -> list[JsonSchema]:
    """The alternatives of one schema. What is said about it stands at its first."""
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives is not None:
        return [way for one in alternatives for way in _ways(one)]
    if "enum" in schema or "const" in schema:
        return [schema, _shared(REFERENCE_NAME)]
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if set(kinds) <= SCALARS:
        return [form for kind in kinds for form in _forms({**schema, "type": kind})]
    return [_inside(schema)]


def _forms(schema: JsonSchema) -> list[JsonSchema]:
    """The ways of writing one scalar."""
    about = {key: schema[key] for key in ABOUT if key in schema}
    said = {key: value for key, value in schema.items() if key not in ABOUT}
    if schema["type"] == "boolean":
        return [{**about, **_shared(BOOLEAN_NAME)}]
    if schema["type"] in ("integer", "number"):
        return [schema, _shared(NUMBER_NAME)]
    if said == {"type": "string"}:
        return [{**about, **_shared(TEXT_NAME)}]
    times: list[JsonSchema] = [{"type": "number"}] if schema.get("format") in TIMES else []
    return [schema, *times, _shared(REFERENCE_NAME)]


def _inside(schema: JsonSchema) -> JsonSchema:
    """Of a mapping or list: what its members may be."""
    inner = dict(schema)
    for key in MEMBERS:
        if key in inner:
            inner[key] = {name: substitutable(member) for name, member in inner[key].items()}
    for key in INSIDE:
        if isinstance(inner.get(key), dict):
            inner[key] = substitutable(inner[key])
    if "prefixItems" in inner:
        inner["prefixItems"] = [substitutable(item) for item in inner["prefixItems"]]
    return inner


def _sorted(ways: list[JsonSchema]) -> list[JsonSchema]:
    """Each once, references last: editors offer them in this order. Any text may hold one anyway."""
    references = [_shared(NUMBER_NAME), _shared(REFERENCE_NAME)]
    kept = [way for index, way in enumerate(ways) if way not in references and way not in ways[:index]]
    if any(way.get("$ref") == DEFINITIONS + TEXT_NAME for way in kept):
        return kept
    needed = [reference for reference in references if reference in ways]
    return kept + needed[:1]  # a number in text may be a reference too


def _shared(name: str) -> JsonSchema:
    return {"$ref": DEFINITIONS + name}
