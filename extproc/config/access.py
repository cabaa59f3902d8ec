"""The shape of `authorize`: who may make the requests of a route."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from extproc.config.agreements import rules, some_of
from extproc.config.settings import Condition, Network, Settings, parse_condition
from extproc.config.spelling import Short, Spelled, text

MOST: Final = 64  # entries of one list; the scopes of a rule go into the header of a refusal
PARTS: Final = (
    "scopes", "any_scope", "groups", "claims", "consumers", "tiers", "addresses", "deny_addresses", "when",
)  # fmt: skip
NO_PART: Final = f"a rule says at least one of {', '.join(PARTS)}"
NO_VALUE: Final = "a claim is compared with a text, a number, true or false"
WAYS: Final = "write a condition in CEL, a rule as {scopes: [orders:read]}, or a list of rules"

# RFC 6749 §3.3: without spaces, quotes and backslashes, so that a challenge can name it.
Scope = Annotated[
    str, Spelled(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}", "not a scope: no spaces, quotes or backslashes", "scope")
]
Entry = Annotated[str, Field(min_length=1, max_length=256)]


def _comparable(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise ValueError(NO_VALUE)
    return value


Value = Annotated[
    Any,
    AfterValidator(_comparable),
    WithJsonSchema({"anyOf": [text("text"), {"type": "number"}, {"type": "boolean"}]}),
]
ONE_VALUE: Final = (text("text"), {"type": "number"}, {"type": "boolean"})
Values = Annotated[
    list[Value],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
    Field(min_length=1, max_length=MOST),
    Short(ONE_VALUE),
]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=MOST)]
Entries = Annotated[list[Entry], Field(min_length=1, max_length=MOST)]
Networks = Annotated[list[Network], Field(min_length=1, max_length=1024)]


class AccessUse(Settings):
    """Who may make a request. All that is written must hold."""

    # No member may be null: one that vanished with a variable of the environment would let more people in.
    model_config = ConfigDict(json_schema_extra=rules(some_of(PARTS, NO_PART)))

    scopes: Scopes = Field(default_factory=list)
    """Scopes of which the consumer has all. Else the request is refused with 403 and a challenge that names them."""
    any_scope: Scopes = Field(default_factory=list)
    """Scopes of which the consumer has at least one."""
    groups: Entries = Field(default_factory=list)
    """Groups of which the consumer is in at least one."""
    claims: Annotated[dict[Entry, Values], Field(min_length=1)] = Field(default_factory=dict)
    """Claims of the consumer's token, by name, each with its value or a list of values of which any will do. Of a claim
    that is a list itself, one member must be among them. A text is never equal to a number."""
    consumers: Entries = Field(default_factory=list)
    """Consumers who may: their ids."""
    tiers: Entries = Field(default_factory=list)
    """Tiers whose consumers may."""
    addresses: Networks = Field(default_factory=list)
    """Networks from which a request may come: `10.0.0.0/8`, `2001:db8::/32`, or one address. The client's address is
    the one that the listener's `trusted_proxies` lead to."""
    deny_addresses: Networks = Field(default_factory=list)
    """Networks from which no request may come."""
    when: Condition = Field(default_factory=str)
    """What must be true of the request and its consumer, in [CEL](https://cel.dev)."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, part) for part in PARTS):
            raise ValueError(NO_PART)
        return self


def _rules(value: Any, info: ValidationInfo) -> AccessUse | list[AccessUse]:
    """A text is a rule of which it is the condition; a list stays one, for any of its rules will do."""
    if isinstance(value, list):
        if not 1 <= len(value) <= MOST:
            raise ValueError(f"a list of rules has 1 to {MOST} entries")
        return LIST.validate_python(value, context=info.context)
    return _rule(value, info)


def _rule(value: Any, info: ValidationInfo) -> AccessUse:
    if isinstance(value, str):
        return AccessUse(when=parse_condition(value))
    if not isinstance(value, dict | AccessUse):
        raise ValueError(WAYS)
    return AccessUse.model_validate(value, context=info.context)


Item = Annotated[AccessUse, PlainValidator(_rule, json_schema_input_type=Condition | AccessUse)]
LIST: Final = TypeAdapter(list[Item])
Authorize = Annotated[
    AccessUse | list[AccessUse],
    PlainValidator(
        _rules,
        json_schema_input_type=Condition | AccessUse | Annotated[list[Item], Field(min_length=1, max_length=MOST)],
    ),
]
