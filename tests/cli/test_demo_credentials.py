"""`extproc demo credentials`: a step of its own, for a gateway whose processes others start."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.cli.commands import Ended, extproc


def credentials(folder: Path, *options: str, token: str = "") -> Ended:
    environment = {"EXTPROC_ADMIN_TOKEN": token} if token else {}
    return extproc("demo", "credentials", "--folder", "secrets", *options, folder=folder, environment=environment)


def read(folder: Path) -> dict[str, str]:
    words = shlex.split((folder / "secrets" / "demo.env").read_text())
    return dict(word.split("=", 1) for word in words)


def test_the_files_are_made_once_and_kept(tmp_path: Path) -> None:
    first = credentials(tmp_path)
    assert (first.code, first.output, first.errors) == (0, "secrets/demo.env: keys and tokens are made\n", "")
    made = read(tmp_path)
    assert credentials(tmp_path).output == "secrets/demo.env: keys and tokens are kept\n"
    assert read(tmp_path) == made
    assert credentials(tmp_path, "--force").output == "secrets/demo.env: keys and tokens are made\n"
    assert read(tmp_path)["FREE_KEY"] != made["FREE_KEY"]


def test_no_secret_is_printed(tmp_path: Path) -> None:
    ended = credentials(tmp_path, token="correct-horse")
    assert ended.code == 0
    secrets = {value for name, value in read(tmp_path).items() if name not in ("GATEWAY", "ADMIN")}
    assert "correct-horse" in secrets
    assert [secret for secret in secrets if secret in ended.output + ended.errors] == []


def test_it_says_where_to_ask(tmp_path: Path) -> None:
    credentials(tmp_path)
    assert (read(tmp_path)["GATEWAY"], read(tmp_path)["ADMIN"]) == ("http://127.0.0.1:8080", "http://127.0.0.1:9900")
    credentials(tmp_path, "--gateway", "http://127.0.0.1:8000", "--admin", "http://127.0.0.1:9000")
    assert (read(tmp_path)["GATEWAY"], read(tmp_path)["ADMIN"]) == ("http://127.0.0.1:8000", "http://127.0.0.1:9000")


def test_a_token_can_be_signed_with_the_key_that_it_made(tmp_path: Path) -> None:
    credentials(tmp_path)
    options = ["--consumer", "acme", "--tier", "free", "--folder", "secrets"]
    assert extproc("demo", "token", *options, folder=tmp_path).code == 0


def test_a_folder_that_cannot_be_made_is_3_and_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("no folder")
    ended = credentials(tmp_path)
    assert (ended.code, ended.said) == (3, ["extproc: secrets: File exists"])


def test_missing_files_are_3_and_a_sentence(tmp_path: Path) -> None:
    credentials(tmp_path)
    (tmp_path / "secrets" / "jwks.json").unlink()
    ended = credentials(tmp_path)
    assert ended.code == 3
    assert ended.said == ["extproc: secrets has demo.env, but no jwks.json: --force makes all anew"]
