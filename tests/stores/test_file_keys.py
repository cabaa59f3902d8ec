"""A file of keys that changes while it is watched: what is good is in force, what is not changes nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from extproc.core.api_key import digest
from extproc.core.errors import StoreUnavailable
from extproc.stores import key_file, whole_file
from extproc.stores.file_keys import KEYS_READ, KEYS_UNREADABLE, LOOK_EVERY, FileKeys, FileLedger
from extproc.stores.key_entry import KeyEntry
from extproc.testing import FakeClock
from tests.stores.key_stores import EMPTY, FakeEvents, entry_of, ids, key_of

A_SECOND: Final = 1.0


def text_of(*numbers: int) -> str:
    lines = [f"- {{sha256: {digest(key_of(number))}, consumer: consumer-{number}}}\n" for number in numbers]
    return f"keys:\n{''.join(lines)}" if lines else EMPTY


@pytest.fixture
def events() -> FakeEvents:
    return FakeEvents()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(text_of(1, 2))
    return path


@pytest.fixture
def keys(file: Path, events: FakeEvents) -> FileKeys:
    return FileKeys(file, FakeClock(), events)


async def known(keys: FileKeys, *numbers: int) -> list[int]:
    return [number for number in numbers if await keys.consumer_of(digest(key_of(number))) is not None]


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def by_rename(file: Path, text: str) -> None:
    other = file.with_name("other.yaml")
    other.write_text(text)
    other.replace(file)


def removed_and_made(file: Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


WAYS: Final[list[Callable[[Path, str], None]]] = [in_place, by_rename, removed_and_made]


@pytest.mark.parametrize("change", WAYS)
async def test_a_file_is_read_again_however_it_was_changed(
    keys: FileKeys, file: Path, events: FakeEvents, change: Callable[[Path, str], None]
) -> None:
    assert await known(keys, 1, 2, 3) == [1, 2]
    change(file, text_of(2, 3))
    await keys.look()
    assert await known(keys, 1, 2, 3) == [2, 3]
    assert events.told == [(KEYS_READ, {"keys": 2})]


async def test_a_link_that_is_pointed_elsewhere_is_followed(tmp_path: Path, events: FakeEvents) -> None:
    """As Kubernetes swaps a mounted secret: keys.yaml -> ..data/keys.yaml, and ..data -> another folder."""
    for name, numbers in (("one", (1,)), ("two", (2,))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys.yaml").write_text(text_of(*numbers))
    data, file = tmp_path / "..data", tmp_path / "keys.yaml"
    data.symlink_to("one")
    file.symlink_to("..data/keys.yaml")
    keys = FileKeys(file, FakeClock(), events)
    assert await known(keys, 1, 2) == [1]
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(data)
    await keys.look()
    assert await known(keys, 1, 2) == [2]


BAD: Final = {
    "half of it": text_of(1, 2)[:70],
    "nothing": "",
    "no YAML": "keys: [",
    "a key that stands twice": text_of(1, 1),
    "an entry without a consumer": f"keys: [{{sha256: {digest(key_of(1))}}}]",
}


@pytest.mark.parametrize("fault", BAD)
async def test_a_bad_file_keeps_the_old_keys_and_is_told_once(
    keys: FileKeys, file: Path, events: FakeEvents, fault: str
) -> None:
    file.write_text(BAD[fault])
    for _ in range(3):
        await keys.look()
    assert await known(keys, 1, 2, 3) == [1, 2]
    assert events.names == [KEYS_UNREADABLE]
    assert digest(key_of(1))[:12] not in str(events.told)
    file.write_text(text_of(3))
    await keys.look()
    assert await known(keys, 1, 2, 3) == [3]
    assert events.names == [KEYS_UNREADABLE, KEYS_READ]


async def test_a_file_that_goes_away_keeps_the_old_keys_and_comes_back(
    keys: FileKeys, file: Path, events: FakeEvents
) -> None:
    text = file.read_text()
    file.unlink()
    for _ in range(3):
        await keys.look()
    assert await known(keys, 1, 2) == [1, 2]
    assert events.names == [KEYS_UNREADABLE]
    file.write_text(text)
    await keys.look()
    assert events.names == [KEYS_UNREADABLE, KEYS_READ]


async def test_a_file_that_may_not_be_read_any_more_keeps_the_old_keys(
    keys: FileKeys, file: Path, events: FakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_file, "MAX_FILE_BYTES", 10)
    file.write_text(text_of(1, 2, 3))
    await keys.look()
    assert await known(keys, 1, 2, 3) == [1, 2]
    assert events.names == [KEYS_UNREADABLE]


async def test_a_file_that_is_touched_is_no_news(keys: FileKeys, file: Path, events: FakeEvents) -> None:
    os.utime(file, ns=(1, 1))
    await keys.look()
    assert events.told == []


async def test_a_change_in_the_tick_in_which_the_file_was_read_is_not_missed(
    file: Path, events: FakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same size, same times, same inode: only reading it again shows it."""
    clock = FakeClock()
    clock.seconds = file.stat().st_ctime
    keys = FileKeys(file, clock, events)
    unchanging = keys._stat()
    monkeypatch.setattr(keys, "_stat", lambda: unchanging)
    in_place(file, text_of(1, 3))
    await keys.look()
    assert await known(keys, 1, 2, 3) == [1, 3]
    clock.advance(A_SECOND)
    await keys.look()
    in_place(file, text_of(1, 4))
    await keys.look()
    assert await known(keys, 1, 3, 4) == [1, 3], "a file that was left alone for a second is not read again for nothing"


async def test_it_is_watched_while_the_gateway_serves_and_until_it_is_told_to_end(
    keys: FileKeys, file: Path, events: FakeEvents
) -> None:
    async with asyncio.TaskGroup() as group:
        tending = group.create_task(keys.tend())
        by_rename(file, text_of(2))
        await events.heard(KEYS_READ)
        tending.cancel()
    assert await known(keys, 1, 2) == [2]
    assert keys.ready()


def test_two_looks_and_the_time_for_reading_are_within_a_second() -> None:
    assert 2 * LOOK_EVERY < A_SECOND


async def test_what_is_changed_here_is_in_force_at_once(keys: FileKeys, file: Path) -> None:
    await keys.remove(entry_of(1).id)
    assert await known(keys, 1, 2) == [2]
    await keys.add(entry_of(3))
    assert await known(keys, 1, 2, 3) == [2, 3]
    assert ids(await FileLedger(file).entries()) == ids([entry_of(2), entry_of(3)])


async def test_the_file_holds_digests_only_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    ledger = FileLedger(file)
    assert list(await ledger.entries()) == []
    await ledger.add(entry_of(1, consumer="acme"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert key_of(1) not in text
    assert digest(key_of(1)) in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.yaml", "new.yaml.lock"]


async def test_a_change_keeps_the_mode_and_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "keys.yaml"
    real.write_text(EMPTY)
    real.chmod(0o640)
    link.symlink_to(real)
    await FileLedger(link).add(entry_of(1))
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert len(await FileLedger(real).entries()) == 1


async def test_a_change_that_fails_leaves_the_file_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("extproc.stores.whole_file.os.fsync", full)
    with pytest.raises(StoreUnavailable, match=r"keys\.yaml cannot be written: No space left on device"):
        await FileLedger(file).add(entry_of(3))
    assert file.read_text() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["keys.yaml", "keys.yaml.lock"]


async def test_a_bad_file_is_not_written_over(file: Path) -> None:
    file.write_text("keys: [")
    with pytest.raises(StoreUnavailable, match="not a YAML file of keys"):
        await FileLedger(file).add(entry_of(3))
    with pytest.raises(StoreUnavailable, match="not a YAML file of keys"):
        await FileLedger(file).entries()
    assert file.read_text() == "keys: ["


async def test_whoever_waits_too_long_for_another_writer_gives_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_file, "PATIENCE", 0.01)
    with file.with_name("keys.yaml.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="somebody else has been writing it"):
            await FileLedger(file).add(entry_of(3))
    await FileLedger(file).add(entry_of(3))


async def test_two_writers_lose_nothing_of_each_other(file: Path) -> None:
    one, other = FileLedger(file), FileLedger(file)
    await asyncio.gather(*(ledger.add(entry_of(number)) for number, ledger in enumerate([one, other] * 5, 3)))
    assert ids(await one.entries()) == ids([entry_of(number) for number in range(1, 13)])


@pytest.mark.parametrize("consumer", ["grüße", "a: b", "'", '"', "- x", "#", "null", "2026-11-25", "!!int 7", "\u2028"])
async def test_a_name_comes_back_as_it_was_written(file: Path, consumer: str) -> None:
    await FileLedger(file).add(entry_of(3, consumer=consumer))
    found: list[KeyEntry] = [entry for entry in await FileLedger(file).entries() if entry.id == entry_of(3).id]
    assert [entry.consumer for entry in found] == [consumer]
