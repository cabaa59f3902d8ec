"""Gateway files as tests write them: a small one that holds together, and what the loader says of a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from extproc.config.load import Kinds, Loaded, load
from extproc.core.problems import InvalidConfig, Problem
from extproc.plugins.registry import built_in

FILE: Final = Path("gateway.yaml")
NO_VARIABLES: Final[Mapping[str, str]] = {}
LISTENERS: Final = 'listeners: [{name: public, address: "0.0.0.0:8080"}]\n'
UPSTREAMS: Final = 'upstreams: {users: {endpoints: ["127.0.0.1:9101"]}}\n'
ROUTES: Final = "routes: [{name: users, match: {path_prefix: /users}, upstream: users, authenticate: none}]\n"
SMALL: Final = LISTENERS + UPSTREAMS + ROUTES


BUILT_IN: Final = built_in().settings


def load_text(text: str, environment: Mapping[str, str] = NO_VARIABLES, kinds: Kinds = BUILT_IN) -> Loaded:
    return load(FILE, environment, kinds, text)


def problems_of(
    text: str, environment: Mapping[str, str] = NO_VARIABLES, kinds: Kinds = BUILT_IN
) -> tuple[Problem, ...]:
    with pytest.raises(InvalidConfig) as caught:
        load_text(text, environment, kinds)
    return caught.value.problems


def messages_of(text: str, environment: Mapping[str, str] = NO_VARIABLES) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in problems_of(text, environment)]


def loads_or_tells(text: str, environment: Mapping[str, str] = NO_VARIABLES) -> bool:
    """True where the text loads, or is refused with problems that have places and sentences. Else it raises."""
    try:
        return bool(load_text(text, environment).revision)
    except InvalidConfig as error:
        return bool(error.problems) and all(
            problem.line >= 1 and problem.column >= 1 and problem.message for problem in error.problems
        )
