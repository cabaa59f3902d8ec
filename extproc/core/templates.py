"""Paths with values in them, as `/users/{consumer.id}`: between braces stands an expression.

A value is data and never structure. It is escaped, and one that no escaping keeps in its place is refused: servers
differ in what they make of `%2f`, of dots and of what is not there at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from extproc.core.errors import InvalidMutation
from extproc.core.rewrite import Rewrite

# What CEL has between quotes may hold a brace (cel-spec: langdef.md, Values).
QUOTED: Final = re.compile(
    r"""[rRbB]*(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|[{}]""", re.DOTALL
)
# Slashes of either kind would be another segment to whoever unescapes first.
UNFIT_IN_PATHS: Final = re.compile(r"[/\\\x00-\x1f\x7f]")
# Dots with parameters behind them, which some servers walk up by as well (core.rewrite knows them unescaped).
DOTS_WITH_PARAMETERS: Final = re.compile(r"/\.{1,2}%3b", re.IGNORECASE)


class UnfitValue(Exception):
    """A value that cannot stand where the template has it. Says which sort it is, and never the value."""


class Piece(NamedTuple):
    """Text as it is written, and the expression behind it; the last one has none."""

    text: str
    expression: str = ""


def pieces_of(template: str) -> tuple[Piece, ...]:
    """Raises ValueError where braces do not pair, or nothing is between them."""
    found: list[Piece] = []
    begun = 0
    while (opened := template.find("{", begun)) >= 0:
        closed = _closing(template, opened)
        expression = template[opened + 1 : closed].strip()
        if not expression:
            raise ValueError("between braces stands an expression, as {consumer.id}")
        found.append(Piece(template[begun:opened], expression))
        begun = closed + 1
    if "}" in template[begun:]:
        raise ValueError("a brace is closed that was not opened")
    if "}" in "".join(piece.text for piece in found):
        raise ValueError("a brace is closed that was not opened")
    return (*found, Piece(template[begun:]))


def _closing(template: str, opened: int) -> int:
    depth = 0
    for sign in QUOTED.finditer(template, opened):
        if sign[0] == "{":
            depth += 1
        elif sign[0] == "}":
            depth -= 1
        if depth == 0:
            return sign.start()
    raise ValueError("a brace is opened and not closed")


def check_path(pieces: Sequence[Piece]) -> None:
    """Raises ValueError for a template that makes no path, whatever the values are."""
    try:
        filled(pieces, ["x"] * (len(pieces) - 1))
    except UnfitValue:
        raise ValueError("not a path: write /users/{consumer.id}, in its normal form, without a fragment") from None


def filled(pieces: Sequence[Piece], values: Sequence[str]) -> str:
    """The path and its query, spelt as on the wire. Raises UnfitValue."""
    made = pieces[0].text
    for value, piece in zip(values, pieces[1:], strict=True):
        made += _escaped(value, in_query="?" in made) + piece.text
    path, _, query = made.partition("?")
    if DOTS_WITH_PARAMETERS.search(path):
        raise UnfitValue("the path could be taken for another")
    try:
        Rewrite(path=path, query=query)
    except InvalidMutation:
        raise UnfitValue("the path could be taken for another") from None
    return made


def _escaped(value: str, *, in_query: bool) -> str:
    if not in_query and not value:
        raise UnfitValue("a value for the path is empty")
    if not in_query and UNFIT_IN_PATHS.search(value):
        raise UnfitValue("a value for the path has a slash or a control character")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise UnfitValue("a value is not Unicode") from None


def spelled(value: object) -> str:
    """A value where a text is wanted. Raises UnfitValue for what has no one spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise UnfitValue("a value is neither a text nor a number")
