"""Frozen dataclasses that are made as quickly as others.

What a frozen dataclass sets of a new instance it sets by `object.__setattr__`, field by field, which takes ten times as
long as an assignment; and a dozen are made for every request. Here the instance is of a twin class while its fields are
set, which has the same slots and no guard, and of its own class from then on: nobody else ever sees the twin.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any, Final, TypeVar

T = TypeVar("T")
_SET_CLASS: Final = "object_setattr(self, '__class__', twin)"


def quick(cls: type[T]) -> type[T]:
    """For a dataclass that is frozen and has slots, with what `__post_init__` it has: it may set fields as ever."""
    names: dict[str, Any] = {"cls": cls, "object_setattr": object.__setattr__, "twin": _twin(cls)}
    lines = [f"    {_SET_CLASS}", *_stores(cls, names), "    self.__class__ = cls"]
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    source = f"def __init__(self, {', '.join(_parameters(cls, names))}):\n" + "\n".join(lines)
    exec(source, names)  # noqa: S102 - as dataclasses makes it: of field names alone
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = cls.__init__.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls


def _twin(cls: type[T]) -> type:
    return type(cls.__name__, (), {"__slots__": cls.__slots__})  # type: ignore[attr-defined]


def _parameters(cls: type[Any], names: dict[str, Any]) -> list[str]:
    return [_parameter(field, names) for field in fields(cls) if field.init]


def _parameter(field: Field[Any], names: dict[str, Any]) -> str:
    if field.default is not MISSING:
        names[f"default_{field.name}"] = field.default
    elif field.default_factory is not MISSING:
        names[f"default_{field.name}"] = MISSING
        names[f"new_{field.name}"] = field.default_factory
    else:
        return field.name
    return f"{field.name}=default_{field.name}"


def _stores(cls: type[Any], names: dict[str, Any]) -> list[str]:
    return [f"    self.{field.name} = {_stored(field)}" for field in fields(cls) if field.init]


def _stored(field: Field[Any]) -> str:
    name = field.name
    if field.default_factory is MISSING:
        return name
    return f"new_{name}() if {name} is default_{name} else {name}"
