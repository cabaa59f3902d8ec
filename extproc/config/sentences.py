"""Pydantic's errors -> findings an operator can read. Knows pydantic's error types and nothing of gateways."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from extproc.core.problems import Finding, Path

KEY: Final = "[key]"  # pydantic's last step to a mapping's key
NO_MAPPING: Final = "must be a mapping, as {{key: value}}"
NO_INTEGER: Final = "must be a whole number"
NO_BOOLEAN: Final = "must be true or false"
NO_NUMBER: Final = "must be a number"

# Pydantic's own sentences speak to Python's programmers. Error type -> ours, with its context's members.
SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "model_type": NO_MAPPING,
    "dict_type": NO_MAPPING,
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "path_type": "must be the name of a file",
    "int_type": NO_INTEGER,
    "int_parsing": NO_INTEGER,
    "int_parsing_size": NO_INTEGER,
    "int_from_float": NO_INTEGER,
    "float_type": NO_NUMBER,
    "float_parsing": NO_NUMBER,
    "finite_number": NO_NUMBER,
    "bool_type": NO_BOOLEAN,
    "bool_parsing": NO_BOOLEAN,
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "has {actual_length} entries, needs at least {min_length}",
    "too_long": "has more than {max_length} entries",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "is not spelled as it must be: {pattern}",
    "value_error": "{error}",
}


def finding(model: type[BaseModel], prefix: Path, error: ErrorDetails) -> Finding:
    """The error of a model that was found at `prefix`."""
    where = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, where[:-1])
        return Finding((*prefix, *where), f"unknown key {where[-1]!r}", nearest(str(where[-1]), known))
    if where and where[-1] == KEY:
        where = where[:-1]
    sentence = SENTENCES.get(error["type"], "{message}")
    return Finding((*prefix, *where), sentence.format_map({**error.get("ctx", {}), "message": error["msg"]}))


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...`, what there is, or nothing."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(options[:12])}" if options else ""


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that may be written where the path leads."""
    reached: Any = model
    for part in path:
        reached = _below(reached, part)
    return sorted(_fields(reached)) if _is_model(reached) else []


def _below(annotation: Any, part: str | int) -> Any:
    """The type of what stands under one key or index; None where there is no saying."""
    if _is_model(annotation):  # a number: a list, where one may stand alone as well
        return annotation if isinstance(part, int) else _model_in(_fields(annotation).get(part))
    return _model_in(get_args(annotation)[-1]) if get_origin(annotation) in (dict, list) else None


def _model_in(annotation: Any) -> Any:
    """The model or container inside `X | None` and Annotated."""
    if _is_model(annotation) or get_origin(annotation) in (dict, list):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
