"""CEL, behind the one adapter that knows its runtime (cel-expr-python).

Variables and their types come from `core.variables`, so a misspelt one is refused when the file is loaded. The runtime
returns an evaluation error as a value that is true in a boolean context; here it becomes an exception.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cel_expr_python import cel

from extproc.core.errors import CouldNotDecide
from extproc.core.variables import TYPES

MAX_LENGTH: Final = 4096


class ExpressionFailed(CouldNotDecide):
    """An expression ended in an error: a missing key, a type that does not fit."""

    reason = "expression_failed"


@dataclass(frozen=True, slots=True)
class CelExpression:
    text: str
    compiled: cel.Expression

    def value(self, variables: Mapping[str, object]) -> object:
        result = self.compiled.eval(data=dict(variables))
        if result.type() == cel.Type.ERROR:
            raise ExpressionFailed(f"{self.text!r}: {result.value()}")
        return _plain(result)

    def holds(self, variables: Mapping[str, object]) -> bool:
        return self.value(variables) is True


def compile_expression(text: str) -> CelExpression:
    """Raises ValueError with the runtime's own message and its caret under the mistake."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} characters")
    try:
        return CelExpression(text, _environment().compile(text))
    except RuntimeError as error:
        raise ValueError(_readable(str(error))) from None


def compile_condition(text: str) -> CelExpression:
    """As compile_expression, for an expression that must say yes or no."""
    compiled = compile_expression(text)
    kind = compiled.compiled.return_type().name()
    if kind not in ("BOOL", "DYN"):
        raise ValueError(f"a condition must be true or false, this one is of type {kind.lower()}")
    return compiled


def check_expression(text: str) -> None:
    compile_expression(text)


@functools.cache
def _environment() -> cel.Env:
    scalars = {"string": cel.Type.STRING, "int": cel.Type.INT, "dyn": cel.Type.DYN}
    types: dict[str, Any] = {
        **scalars,
        "list<string>": cel.Type.List(cel.Type.STRING),
        "map<string, string>": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
        "map<string, dyn>": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    return cel.NewEnv(variables={name: types[kind] for name, kind in TYPES.items()})


def _plain(result: Any) -> object:
    """JSON's types only: containers come back holding the runtime's own values, and a duration is not JSON."""
    value = result.value() if isinstance(result, cel.Value) else result
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ExpressionFailed(f"an expression gave a {type(value).__name__}, which is not JSON")


def _readable(message: str) -> str:
    lines = message.removeprefix("INVALID_ARGUMENT: ").removesuffix("[INVALID_ARGUMENT]").rstrip().splitlines()
    first = lines[0].removeprefix("ERROR: <input>:").replace(" (in container '')", "") if lines else "not an expression"
    return "\n".join(["CEL " + first, *lines[1:]])
