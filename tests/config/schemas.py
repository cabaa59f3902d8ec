"""What the schema says of a gateway file, in tests."""

from __future__ import annotations

import functools
from typing import Any

from jsonschema import Draft202012Validator

from extproc.config.load import Kinds
from extproc.config.schema import gateway_schema
from tests.config.gateways import BUILT_IN
from tests.config.whole_gateway import as_an_editor_reads


@functools.cache
def validator() -> Any:
    """For the built-in kinds."""
    return Draft202012Validator(gateway_schema(BUILT_IN))


def refusals(text: str, kinds: Kinds | None = None) -> list[str]:
    """Where the schema objects to a file, as `routes[0].match`."""
    using = validator() if kinds is None else Draft202012Validator(gateway_schema(kinds))
    return [f"{error.json_path}: {error.message}" for error in using.iter_errors(as_an_editor_reads(text))]
