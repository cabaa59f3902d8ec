"""What somebody wishes for over the admin address or on the command line, read as settings are."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from extproc.config.settings import Settings

W = TypeVar("W", bound=Settings)


def read_wish(wish: type[W], values: object) -> W:
    """Raises ValueError with a sentence that quotes no value: a key may stand where a name should."""
    try:
        return wish.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        known = [str(part) for part in first["loc"] if isinstance(part, int) or part in wish.model_fields]
        said = first["msg"].removeprefix("Value error, ")
        raise ValueError(": ".join(filter(None, (".".join(known), said)))) from None
