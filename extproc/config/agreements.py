"""What keys of one mapping must agree on, in JSON Schema: the editor's half of the models' own `mode="after"` checks.

A reference to the environment may turn out to be nothing at all, as `${TIMEOUT:=}` does; so a value counts as written
only where nothing in it can vanish.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

JsonSchema = dict[str, Any]

NOTHING: Final[JsonSchema] = {"type": "null"}
SOMETHING: Final[JsonSchema] = {"not": NOTHING}
# Neither null nor with a reference in it.
CERTAIN: Final[JsonSchema] = {"not": {"anyOf": [NOTHING, {"type": "string", "pattern": r"\$\{"}]}}


def having(**keys: JsonSchema) -> JsonSchema:
    """A mapping in which each of these keys is there, and is like this."""
    return {"required": list(keys), "properties": keys}


def rules(*each: JsonSchema) -> JsonSchema:
    return {"allOf": list(each)}


def never(schema: JsonSchema, why: str) -> JsonSchema:
    return {"not": schema, "errorMessage": why}


def some_of(keys: tuple[str, ...], why: str) -> JsonSchema:
    return {"anyOf": [having(**{key: SOMETHING}) for key in keys], "errorMessage": why}


def exactly_one(keys: tuple[str, ...], why: str) -> JsonSchema:
    pairs = combinations(keys, 2)
    return rules(some_of(keys, why), *(never(having(**dict.fromkeys(pair, CERTAIN)), why) for pair in pairs))


def where(condition: JsonSchema, then: JsonSchema) -> JsonSchema:
    return {"if": condition, "then": then}
