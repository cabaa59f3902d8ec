"""How a value is written: as a check for the loader and, in JSON Schema, for editors.

Patterns are read by Python and by editors' JavaScript alike, so they use what both understand. `errorMessage` is no
word of JSON Schema: editors show it, and every other reader passes over it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

PORT: Final = r"(?!0+$)(?:[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
IPV6: Final = r"\[[0-9a-fA-F:.]+\]"
CALLED: Final = "x-called"  # becomes `title`, which pydantic takes away from the members of a mapping
FIELD_NAME: Final = r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}"


@dataclass(frozen=True, slots=True)
class Spelled:
    """How a text must be spelled, as a pattern, and as a sentence for its writer. `title` is what it is called."""

    pattern: str
    sentence: str
    title: str = "text"

    def check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(self.sentence)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **text(self.title, self.pattern, self.sentence)}


@dataclass(frozen=True, slots=True, eq=False)
class Short:
    """A shorter way of writing a mapping, which its model's own validator reads."""

    schemas: tuple[dict[str, Any], ...]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [*self.schemas, handler(schema)]}


def text(title: str, pattern: str = "", sentence: str = "") -> dict[str, Any]:
    """The JSON Schema of a text; `title` is the word for it in the documentation."""
    schema = {"type": "string", CALLED: title}
    return schema | ({"pattern": f"^(?:{pattern})$", "errorMessage": sentence} if pattern else {})


def written(title: str, pattern: str = "", sentence: str = "") -> WithJsonSchema:
    """For a type whose JSON Schema pydantic cannot know: a validator of ours reads the text."""
    return WithJsonSchema(text(title, pattern, sentence))
