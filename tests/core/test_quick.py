"""What is made quickly is made as any frozen dataclass is: the same signature, the same guard, the same equality."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from extproc.core.decision import Continue, HeaderEdits
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request, Response
from extproc.core.outcome import Outcome
from extproc.core.quick import quick


@dataclass(frozen=True, slots=True)
class Slow:
    name: str
    size: int = 3
    parts: list[int] = field(default_factory=list)
    doubled: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("a size is not negative")
        object.__setattr__(self, "doubled", self.size * 2)


@quick
@dataclass(frozen=True, slots=True)
class Quick(Slow):
    pass


@quick
@dataclass(frozen=True, slots=True)
class Part:
    name: str
    size: int = 3
    parts: list[int] = field(default_factory=list)
    doubled: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("a size is not negative")
        object.__setattr__(self, "doubled", self.size * 2)


MADE = (Request("GET", "/"), Response(200), Consumer("a"), HeaderEdits(), Continue(), Outcome(Continue()), Headers())


def test_it_takes_the_same_arguments_and_gives_the_same_fields() -> None:
    for made in (Part("a", 2, [1]), Part(name="a", parts=[1], size=2)):
        slow = Slow("a", 2, [1])
        assert {one.name: getattr(made, one.name) for one in fields(Part)} == {
            one.name: getattr(slow, one.name) for one in fields(Slow)
        }
    assert list(inspect.signature(Part).parameters) == list(inspect.signature(Slow).parameters)


def test_each_has_a_default_of_its_own_where_a_factory_makes_it() -> None:
    first, second = Part("a"), Part("b")
    assert first.parts == second.parts == []
    assert first.parts is not second.parts


def test_it_is_of_its_own_class_alone() -> None:
    made = Part("a")
    assert type(made) is Part
    assert made == Part("a") != Part("b")
    assert repr(made) == "Part(name='a', size=3, parts=[], doubled=6)"
    assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == made  # noqa: S301 - our own


@pytest.mark.parametrize("arguments", [(), ("a", 1, [], 2), ("a", 1, [], 2, 3)])
def test_arguments_that_do_not_fit_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        Part(*arguments)  # type: ignore[arg-type]


def test_what_it_checks_of_itself_is_checked() -> None:
    with pytest.raises(ValueError, match="negative"):
        Part("a", -1)
    with pytest.raises(ValueError, match="negative"):
        replace(Part("a"), size=-1)


@pytest.mark.parametrize("made", [*MADE, Part("a")], ids=lambda made: type(made).__name__)
def test_nothing_of_it_can_be_changed(made: object) -> None:
    for one in fields(made):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(made, one.name, None)
        with pytest.raises(FrozenInstanceError):
            delattr(made, one.name)
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        made.another = None  # type: ignore[attr-defined]


def test_a_class_that_inherits_slots_cannot_be_made_so() -> None:
    """Its twin would have fewer, and could not become it."""
    with pytest.raises(TypeError):
        Quick("a")
