"""What a key's entry says of its consumer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from extproc.core.message import Consumer
from extproc.stores.key_entry import KeyEntry

DIGEST = "0" * 64


def test_claims_of_a_key_are_those_of_its_consumer() -> None:
    claims = {"limits": {"rate": "50/s", "quota": "1000/day"}}
    entry = KeyEntry.model_validate({"sha256": DIGEST, "consumer": "acme", "claims": claims})
    assert entry.as_consumer() == Consumer("acme", claims=claims)
    assert KeyEntry.model_validate(entry.written()) == entry
    assert "50/s" not in repr(entry)


def test_a_key_without_claims_is_as_before() -> None:
    entry = KeyEntry(sha256=DIGEST, consumer="acme")
    assert entry.as_consumer() == Consumer("acme")
    assert entry.written() == {"sha256": DIGEST, "consumer": "acme"}


def test_claims_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ValidationError):
        KeyEntry.model_validate({"sha256": DIGEST, "consumer": "acme", "claims": ["limits"]})
