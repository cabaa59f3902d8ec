"""Which files of a folder are read, and how a change of them is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extproc.config import ratelimit_folder
from extproc.config.ratelimit_folder import load_limits, stamp
from extproc.core.errors import RefusedLimits

TEXT = "domain: {}\n"


def write(folder: Path, name: str, domain: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TEXT.format(domain))
    return file


def config_map(folder: Path, version: str, **files: str) -> None:
    """As a kubelet mounts one: links to `..data`, a link to the version, which is replaced in one step."""
    for name, domain in files.items():
        write(folder, f"..{version}/{name}.yaml", domain)
        if not (folder / f"{name}.yaml").is_symlink():
            (folder / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    (folder / "..data_tmp").symlink_to(f"..{version}")
    (folder / "..data_tmp").rename(folder / "..data")


def test_every_yaml_file_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "inner/c.yaml"):
        write(tmp_path, name, name)
    loaded = load_limits(tmp_path)
    assert loaded.files == ("a.yml", "b.yaml", "inner/c.yaml")
    assert list(loaded.domains) == ["a.yml", "b.yaml", "inner/c.yaml"]


def test_hidden_files_and_what_editors_leave_are_not_read(tmp_path: Path) -> None:
    for name in (".a.yaml", "..2026/b.yaml", ".git/c.yaml", "d.yaml~", "e.yaml.swp", "README.md", "f.yaml.tmp"):
        write(tmp_path, name, "d")
    assert load_limits(tmp_path).domains == {}


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    config_map(tmp_path, "v1", one="d", two="e")
    assert load_limits(tmp_path).files == ("one.yaml", "two.yaml")


def test_one_mistake_refuses_all_and_names_the_file(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "a")
    write(tmp_path, "inner/b.yaml", "a")
    with pytest.raises(RefusedLimits, match=r"^inner/b.yaml: duplicate domain 'a' in config file$"):
        load_limits(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedLimits, match="nowhere: cannot be read: No such file or directory"):
        load_limits(tmp_path / "nowhere")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("gone")
    with pytest.raises(RefusedLimits, match=r"^a.yaml: cannot be read: No such file or directory$"):
        load_limits(tmp_path)


def test_a_file_and_a_folder_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        write(tmp_path, f"{name}.yaml", name)
    monkeypatch.setattr(ratelimit_folder, "MAX_FILE_BYTES", 5)
    with pytest.raises(RefusedLimits, match=r"^a.yaml: larger than 5 bytes$"):
        load_limits(tmp_path)
    monkeypatch.setattr(ratelimit_folder, "MAX_FILES", 2)
    with pytest.raises(RefusedLimits, match="more than 2 files"):
        load_limits(tmp_path)


def test_the_revision_is_another_one_for_other_files(tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", "a")
    first = load_limits(tmp_path).revision
    assert load_limits(tmp_path).revision == first
    file.write_text(TEXT.format("b"))
    assert load_limits(tmp_path).revision != first


def test_the_stamp_is_another_one_after_every_kind_of_change(tmp_path: Path) -> None:
    config_map(tmp_path, "v1", one="d")
    seen = [stamp(tmp_path)]
    config_map(tmp_path, "v2", one="d")
    seen.append(stamp(tmp_path))
    other = write(tmp_path, "other.yaml", "e")
    seen.append(stamp(tmp_path))
    other.write_text(TEXT.format("longer"))
    seen.append(stamp(tmp_path))
    os.utime(other, ns=(1, 1))
    seen.append(stamp(tmp_path))
    other.unlink()
    assert len(set(seen)) == len(seen)
    assert stamp(tmp_path) == seen[1]


def test_the_stamp_is_another_one_where_the_folder_itself_is_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write(tmp_path, f"{version}/a.yaml", "d")
    link = tmp_path / "current"
    link.symlink_to("v1")
    first = stamp(link)
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(link)
    assert stamp(link) != first


def test_what_cannot_be_read_has_no_stamp(tmp_path: Path) -> None:
    assert stamp(tmp_path / "nowhere") == ()
