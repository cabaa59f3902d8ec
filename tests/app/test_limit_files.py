"""Files that change while they are in force: all of them are read again, or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from extproc.app import limit_files
from extproc.app.limit_files import LimitFiles
from extproc.config.ratelimit_folder import LoadedLimits
from extproc.core.errors import RefusedLimits
from tests.config.test_ratelimit_folder import config_map, write


@dataclass(slots=True)
class Watched:
    folder: Path
    merge: bool = False
    heard: list[str] = field(default_factory=list)
    files: LimitFiles = field(init=False)

    def __post_init__(self) -> None:
        self.files = LimitFiles(self.folder, merge=self.merge, loaded=self._loaded, refused=self._refused)

    def _loaded(self, loaded: LoadedLimits) -> None:
        self.heard.append(f"loaded {', '.join(loaded.domains)}")

    def _refused(self, error: RefusedLimits) -> None:
        self.heard.append(str(error))

    @property
    def domains(self) -> list[str]:
        return list(self.files.current.domains) if self.files.current else []

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.files.look()


async def test_a_change_is_read_once_it_has_stopped_changing(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    file = write(tmp_path, "a.yaml", "one")
    watched.files.load()
    file.write_text("domain: changing\n")
    await watched.look(1)
    assert watched.domains == ["one"]
    file.write_text("domain: changed-again\n")
    await watched.look(1)
    assert watched.domains == ["one"]
    await watched.look(1)
    assert watched.domains == ["changed-again"]
    await watched.look(5)
    assert watched.heard == ["loaded changed-again"]


async def test_what_cannot_be_used_is_told_once_and_what_was_before_stays(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    write(tmp_path, "a.yaml", "one")
    watched.files.load()
    bad = write(tmp_path, "b.yaml", "one")
    await watched.look(5)
    assert watched.domains == ["one"]
    assert watched.heard == ["b.yaml: duplicate domain 'one' in config file"]
    bad.write_text("domain: two\n")
    await watched.look()
    assert watched.domains == ["one", "two"]


async def test_a_config_map_that_is_swapped_is_read(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    config_map(tmp_path, "v1", a="one")
    watched.files.load()
    config_map(tmp_path, "v2", a="two")
    await watched.look()
    assert watched.heard == ["loaded two"]


async def test_a_folder_that_is_a_link_which_leads_elsewhere_is_read(tmp_path: Path) -> None:
    write(tmp_path, "v1/a.yaml", "one")
    write(tmp_path, "v2/a.yaml", "two")
    (tmp_path / "current").symlink_to("v1")
    watched = Watched(tmp_path / "current")
    watched.files.load()
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(tmp_path / "current")
    await watched.look()
    assert watched.domains == ["two"]


async def test_a_folder_that_is_gone_takes_nothing_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "limits"
    write(folder, "a.yaml", "one")
    watched = Watched(folder)
    watched.files.load()
    folder.rename(tmp_path / "away")
    await watched.look()
    assert watched.domains == ["one"]
    assert watched.heard == [f"{folder}: cannot be read: No such file or directory"]
    (tmp_path / "away").rename(folder)
    await watched.look(3)
    assert watched.heard[1:] == ["loaded one"]


async def test_a_failure_that_nobody_foresaw_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path, *, merge: bool) -> LoadedLimits:
        raise MemoryError

    file = write(tmp_path, "a.yaml", "one")
    watched = Watched(tmp_path)
    watched.files.load()
    file.write_text("domain: another\n")
    monkeypatch.setattr(limit_files, "load_limits", fails)
    await watched.look()
    assert watched.domains == ["one"]
    assert watched.heard == [f"{tmp_path}: cannot be read: MemoryError"]


async def test_the_first_load_is_the_callers_and_may_fail(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "")
    watched = Watched(tmp_path)
    with pytest.raises(RefusedLimits, match="config file cannot have empty domain"):
        watched.files.load()
    assert watched.files.current is None


async def test_files_may_share_a_domain_where_that_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "one")
    write(tmp_path, "b.yaml", "one")
    watched = Watched(tmp_path, merge=True)
    watched.files.load()
    assert watched.domains == ["one"]
