"""CEL, behind the one adapter that knows its runtime (cel-expr-python).

Variables and their types come from `core.variables`, so a misspelt one is refused when the file is loaded. The runtime
returns an evaluation error as a value that is true in a boolean context; here it becomes an exception.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cel_expr_python import cel

from extproc.core.aggregation import named_parts
from extproc.core.errors import CouldNotDecide
from extproc.core.variables import OF_CONSUMER, OF_PAYLOADS, OF_RESPONSE, TYPES

# Variables that have few values. CEL has no clock and no chance: over these, the same question has the same answer.
REPEATING: Final = frozenset(
    {
        *("request.method", "request.scheme", "route.name"),
        *("consumer.tier", "consumer.method", "consumer.scopes", "consumer.groups", "consumer.anonymous"),
    }
)
REMEMBERED: Final = 1024  # answers of one condition
MAX_LENGTH: Final = 4096
# CEL's literals (cel-spec: langdef.md, Values); a comment may hold a lone quote.
TEXT: Final = r"""[rRbB]*(?:"{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
LITERAL: Final = re.compile(rf"(?P<member>(?<=[\w\])])(?<!\bin)\[(?:{TEXT})\])|//[^\n]*|{TEXT}", re.DOTALL)
ENVIRONMENTS: Final = 64  # kept; expressions of one gateway read much the same variables
# Variables that have no value yet, or no more, where an expression is evaluated.
BEFORE_ANSWERS: Final = (OF_RESPONSE, *OF_PAYLOADS)
# An ext_proc stream for the answer brings no headers of the request, and none brings claims.
BEHIND_ANSWERS: Final = ("request.headers", "consumer.claims", *OF_PAYLOADS)
OF_EVENTS: Final = ("request.headers", "consumer.claims", "request.json", "response.json", "value", "parts")
OF_REQUESTS: Final = (OF_RESPONSE, "consumer.claims", "event.", "value", "parts")
MAPPED: Final = ("consumer.claims", "request.json", "response.json", "event.", "request.headers", "parts")
OF_PARTS: Final = (OF_RESPONSE, "consumer.claims", "event.", "value")


class ExpressionFailed(CouldNotDecide):
    """An expression ended in an error: a missing key, a type that does not fit."""

    reason = "expression_failed"


@dataclass(frozen=True, slots=True)
class CelExpression:
    """`reads` are the variables that it needs: the runtime converts each one that it is given, whether used or not."""

    text: str
    compiled: cel.Expression
    reads: tuple[str, ...] = tuple(TYPES)
    _repeats: bool = field(init=False, repr=False, compare=False)
    _held: dict[tuple[object, ...], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_repeats", REPEATING.issuperset(self.reads))

    def value(self, variables: Mapping[str, object]) -> object:
        result = self._result(variables)
        if result.type() == cel.Type.ERROR:
            # The code alone: the rest of the runtime's sentence may quote what the client sent.
            raise ExpressionFailed(f"{_without_values(self.text)!r}: {str(result.value()).partition(':')[0]}")
        return _plain(result)

    def holds(self, variables: Mapping[str, object]) -> bool:
        if not self._repeats:
            return self._holds(variables)
        asked = tuple([tuple(value) if isinstance(value := variables[name], list) else value for name in self.reads])
        held = self._held.get(asked)
        if held is None:
            if len(self._held) >= REMEMBERED:
                self._held.clear()
            held = self._held[asked] = self._holds(variables)
        return held

    def _holds(self, variables: Mapping[str, object]) -> bool:
        # The value of an error is a text, and so never true: only where it does not hold is the rest worth asking.
        return self._result(variables).value() is True or self.value(variables) is True

    def _result(self, variables: Mapping[str, object]) -> cel.Value:
        try:
            return self.compiled.eval(data=self._data(variables))
        except RuntimeError:
            raise ExpressionFailed(f"{_without_values(self.text)!r}: a value is not Unicode") from None

    def _data(self, variables: Mapping[str, object]) -> dict[str, object]:
        try:
            return {name: variables[name] for name in self.reads}
        except KeyError:  # one that has no value yet: the expression fails where it needs it
            return {name: variables[name] for name in self.reads if name in variables}


def compile_expression(text: str) -> CelExpression:
    """Raises ValueError with the runtime's own message and its caret under the mistake."""
    return _compiled(text, ())


def compile_condition(text: str) -> CelExpression:
    """As compile_expression, for an expression that must say yes or no, and before there is a response."""
    return _condition(text, BEFORE_ANSWERS)


def _condition(text: str, hidden: tuple[str, ...]) -> CelExpression:
    compiled = _compiled(text, hidden)
    kind = compiled.compiled.return_type().name()
    if kind not in ("BOOL", "DYN"):
        raise ValueError(f"a condition must be true or false, this one is of type {kind.lower()}")
    return compiled


def asks_who(text: str) -> bool:
    """Whether a condition that compiles reads anything of the consumer: without those variables it would not."""
    try:
        _environment((*BEFORE_ANSWERS, OF_CONSUMER)).compile(text)
    except RuntimeError:
        return True
    return False


def reads_in_parts(text: str, variable: str) -> bool:
    """The same of one variable, for an expression of an aggregate that compiles."""
    try:
        _environment((*OF_PARTS, variable)).compile(text)
    except RuntimeError:
        return True
    return False


def compile_request_expression(text: str) -> CelExpression:
    """As compile_expression, before there is a response."""
    return _compiled(text, BEFORE_ANSWERS)


def check_answer_expression(text: str) -> None:
    """Raises ValueError for what cannot be evaluated when a response is judged."""
    _compiled(text, BEHIND_ANSWERS)


def check_event_expression(text: str) -> None:
    """As check_answer_expression, for one event of an answer that is edited as it passes."""
    _compiled(text, OF_EVENTS)


def check_request_expression(text: str) -> None:
    """Raises ValueError for what cannot be evaluated when a request is edited."""
    _compiled(text, OF_REQUESTS)


def check_part_expression(text: str) -> None:
    """Raises ValueError for what cannot be evaluated where an aggregate asks for its parts."""
    named_parts(text)
    _compiled(text, OF_PARTS)


def check_part_condition(text: str) -> None:
    """As check_part_expression, for what must be true or false."""
    named_parts(text)
    _condition(text, OF_PARTS)


def check_value_expression(text: str) -> None:
    """As the others, for what becomes of one `value` of a document, in either direction."""
    _compiled(text, MAPPED)


def _compiled(text: str, hidden: tuple[str, ...]) -> CelExpression:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} characters")
    try:
        compiled = _environment(hidden).compile(text)
        return CelExpression(text, compiled, _reads(text, hidden))
    except RuntimeError as error:
        raise ValueError(_readable(str(error))) from None
    except TypeError:
        raise ValueError("an expression is text in UTF-8") from None


def _reads(text: str, hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Those whose names stand in the text, where it compiles with them alone; else all."""
    named = tuple(name for name in TYPES if name in text)
    others = tuple(name for name in TYPES if name not in named)
    try:
        _environment((*hidden, *others)).compile(text)
    except RuntimeError:
        return tuple(TYPES)
    return named


@functools.lru_cache(ENVIRONMENTS)
def _environment(hidden: tuple[str, ...]) -> cel.Env:
    scalars = {"string": cel.Type.STRING, "int": cel.Type.INT, "bool": cel.Type.BOOL, "dyn": cel.Type.DYN}
    types: dict[str, Any] = {
        **scalars,
        "list<string>": cel.Type.List(cel.Type.STRING),
        "map<string, string>": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
        "map<string, dyn>": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    known = {name: types[kind] for name, kind in TYPES.items() if not name.startswith(hidden)}
    return cel.NewEnv(variables=known)


def _without_values(text: str) -> str:
    """For the log: what something is compared with may be a secret from the environment; a member's name is none."""
    return LITERAL.sub(lambda found: found["member"] or "...", text)


def _plain(result: Any) -> object:
    """JSON's types only: containers come back holding the runtime's own values, and a duration is not JSON.

    Members are sorted: the runtime's own order differs from one process to the next.
    """
    value = result.value() if isinstance(result, cel.Value) else result
    if isinstance(value, Mapping):
        members = {_member(_plain(key)): _plain(item) for key, item in value.items()}
        return {name: members[name] for name in sorted(members)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ExpressionFailed(f"an expression gave {value}, which is not JSON")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ExpressionFailed(f"an expression gave a {type(value).__name__}, which is not JSON")


def _member(key: object) -> str:
    """A member's name: CEL's maps may have whole numbers and booleans for keys."""
    return str(key).lower() if isinstance(key, bool) else str(key)


def _readable(message: str) -> str:
    """The message without the runtime's own words: where the text has no file, and every code is the same."""
    text = re.sub(r"^[A-Z_]+: (?=[A-Z])|\s*\[[A-Z_]+\]\s*$", "", message)
    text = re.sub(r"^ERROR: <input>:", "", text.replace(" (in container '')", ""), flags=re.MULTILINE)
    return f"CEL {text.rstrip() or 'cannot read this expression'}"
