"""The file of API keys: digests only, and no error that quotes one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from extproc.core.api_key import digest, spell
from extproc.core.message import Consumer
from extproc.stores import key_file
from extproc.stores.file_keys import FileKeys
from extproc.stores.keys import NoKeys
from extproc.testing import FakeClock
from tests.stores.key_stores import FakeEvents

KEY: Final = spell(b"\x07" * 20)
DIGEST: Final = digest(KEY)
OTHER: Final = digest("other")


def entry(sha256: str = DIGEST, more: str = "consumer: acme") -> str:
    return f"keys: [{{sha256: {sha256}, {more}}}]"


MISSPELT: Final = "keys.0.sha256: String should match pattern"
BAD: Final = {
    "empty": ("", "Input should be a valid dictionary"),
    "a list": (f"- {{sha256: {DIGEST}, consumer: acme}}", "Input should be a valid dictionary"),
    "no keys": ("{}", "keys: Field required"),
    "keys that are no list": (f"keys: {{{DIGEST}: acme}}", "keys: Input should be a valid list"),
    "no consumer": (entry(more=""), "keys.0.consumer: Field required"),
    "an empty consumer": (entry(more="consumer: ''"), "keys.0.consumer: String should have at least 1 character"),
    "a consumer that is no text": (entry(more="consumer: 7"), "keys.0.consumer: Input should be a valid string"),
    "no digest": ("keys: [{consumer: acme}]", "keys.0.sha256: Field required"),
    "the key itself": (entry(KEY), MISSPELT),
    "a digest in capitals": (entry(DIGEST.upper()), MISSPELT),
    "a digest that is cut": (entry(DIGEST[1:]), MISSPELT),
    "a digest and a line end": (entry(f'"{DIGEST}\\n"'), MISSPELT),
    "an unknown member": (entry(more="consumer: a, teir: free"), "keys.0.teir: Extra inputs are not permitted"),
    "a key for a member": (entry(more=f"consumer: a, {KEY}: b"), "keys.0....: Extra inputs are not permitted"),
    "a digest for a member": (f"keys: []\n{DIGEST}: acme", "...: Extra inputs are not permitted"),
    "a tier that is no text": (entry(more="consumer: a, tier: 1"), "keys.0.tier: Input should be a valid string"),
    "scopes in a text": (entry(more="consumer: a, scopes: b"), "keys.0.scopes: Input should be a valid list"),
    "one digest twice": (entry(more=f"consumer: a}}, {{sha256: {DIGEST}, consumer: b"), "one digest stands twice"),
    "two digests of one id": (
        f"keys: [{{sha256: {DIGEST}, consumer: a}}, {{sha256: {DIGEST[:12]}{OTHER[12:]}, consumer: b}}]",
        "two digests begin alike: their keys have the same id",
    ),
    "an end that is no time": (entry(more="consumer: a, expires: soon"), "keys.0.expires: Value error, not a time"),
    "an end that is a number": (entry(more="consumer: a, expires: 7"), "keys.0.expires: Value error, not a time"),
    "a time out of the calendar": (
        entry(more="consumer: a, expires: '0001-01-01T00:00:00+14:00'"),
        "keys.0.expires: Value error, not a time",
    ),
    "no YAML": (f"keys: [{{sha256: {DIGEST}", ": not a YAML file of keys"),
    "a Python object": (f"!!python/object/apply:os.system [{DIGEST}]", ": not a YAML file of keys"),
    "a number that is none": (f"!!int {DIGEST}z", ": not a YAML file of keys"),
    "no text": ("\x00\x01", ": not a YAML file of keys"),
    "too deep": ("[" * 10_000, ": not a YAML file of keys"),
}


def written(folder: Path, text: str) -> Path:
    file = folder / "keys.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def opened(file: Path) -> FileKeys:
    return FileKeys(file, FakeClock(), FakeEvents())


async def test_a_key_is_found_by_its_digest_with_all_that_is_known_of_its_consumer(tmp_path: Path) -> None:
    first = f"{{sha256: {DIGEST}, consumer: acme, tier: free, scopes: [a, b]}}"
    store = opened(written(tmp_path, f"keys:\n- {first}\n- {{sha256: {OTHER}, consumer: b}}\n"))
    assert await store.consumer_of(DIGEST) == Consumer("acme", "free", ("a", "b"))
    assert await store.consumer_of(OTHER) == Consumer("b")


@pytest.mark.parametrize("asked", ["", DIGEST[:-1], DIGEST.upper(), KEY, digest("another")])
async def test_every_other_digest_is_nobody(tmp_path: Path, asked: str) -> None:
    store = opened(written(tmp_path, entry()))
    assert await store.consumer_of(asked) is None


async def test_a_consumer_may_have_several_keys_and_a_file_none(tmp_path: Path) -> None:
    store = opened(written(tmp_path, entry(more=f"consumer: acme}}, {{sha256: {OTHER}, consumer: acme")))
    assert await store.consumer_of(DIGEST) == await store.consumer_of(OTHER) == Consumer("acme")
    assert await opened(written(tmp_path, "keys: []")).consumer_of(DIGEST) is None


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_refused_in_a_sentence_that_quotes_no_entry(tmp_path: Path, fault: str) -> None:
    text, sentence = BAD[fault]
    file = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"keys\.yaml") as refused:
        opened(file)
    said = str(refused.value)
    assert sentence in said
    assert not any(secret[:12] in said for secret in (KEY, DIGEST, DIGEST.upper()))
    assert refused.value.__cause__ is None


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.yaml cannot be read: No such file"):
        opened(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match=r"cannot be read: Is a directory"):
        opened(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match=r"keys\.yaml is larger than 10 bytes"):
        opened(written(tmp_path, "keys: []     "))


@pytest.mark.parametrize(
    "spelt",
    [
        "2026-11-25", "'2026-11-25'", "2026-11-25T00:00:00Z", "'2026-11-25T00:00:00Z'", "2026-11-25 00:00:00",
        "'2026-11-25T02:00:00+02:00'", "2026-11-25T00:00:00.9Z",
    ],
)  # fmt: skip
async def test_an_end_may_be_written_as_yaml_or_iso_8601_write_it(tmp_path: Path, spelt: str) -> None:
    store = opened(written(tmp_path, entry(more=f"consumer: a, expires: {spelt}")))
    (found,) = await store.entries()
    assert found.expires == datetime(2026, 11, 25, tzinfo=UTC)


async def test_without_a_file_every_key_is_unknown() -> None:
    assert await NoKeys().consumer_of(DIGEST) is None
