"""What a demo gives out goes on being good from one start to the next, and is for its user alone."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
from pathlib import Path

import jwt
import pytest
import yaml

from extproc.app.credentials import Provided, provide_credentials
from extproc.app.demo import AUDIENCE, ISSUER, TOKEN_LIFETIME, NoDemo, Places
from extproc.testing.fakes import FakeClock

HERE = Places("http://127.0.0.1:8080", "http://127.0.0.1:9900")
FILES = {"demo-signing-key.pem", "jwks.json", "keys.yaml", "demo.env"}
KEYS = ("FREE_KEY", "PREMIUM_KEY")
TOKENS = ("FREE_JWT", "PREMIUM_JWT")


def read(folder: Path) -> dict[str, str]:
    words = shlex.split((folder / "demo.env").read_text())
    return dict(word.split("=", 1) for word in words)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def claims(folder: Path, token: str) -> dict[str, object]:
    """As the sidecar would read them: the signature is checked. The clock is the test's, so the times are not."""
    (key,) = jwt.PyJWKSet.from_dict(json.loads((folder / "jwks.json").read_text())).keys
    options: jwt.types.Options = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER, options=options)


def test_everything_is_made_where_nothing_is(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    assert provide_credentials(folder, FakeClock(), HERE) is Provided.MADE
    assert {file.name for file in folder.iterdir()} == FILES
    assert folder.stat().st_mode & 0o777 == 0o750
    assert [file.name for file in folder.iterdir() if file.stat().st_mode & 0o777 != 0o600] == []


def test_the_keys_are_those_whose_digests_the_sidecar_reads(tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    entries = yaml.safe_load((tmp_path / "keys.yaml").read_text())["keys"]
    digests = [hashlib.sha256(read(tmp_path)[name].encode()).hexdigest() for name in KEYS]
    assert [(entry["sha256"], entry["tier"]) for entry in entries] == [(digests[0], "free"), (digests[1], "premium")]


def test_the_tokens_are_signed_by_the_key_that_the_sidecar_reads(tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    free, premium = (claims(tmp_path, read(tmp_path)[name]) for name in TOKENS)
    assert (free["sub"], free["tier"], free.get("scope")) == ("free-by-jwt", "free", None)
    assert (premium["sub"], premium["tier"], premium["scope"]) == ("premium-by-jwt", "premium", "orders:read")


def test_a_second_start_changes_no_byte(tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    before = contents(tmp_path)
    assert provide_credentials(tmp_path, FakeClock(), HERE) is Provided.KEPT
    assert contents(tmp_path) == before


def test_other_addresses_are_written_beside_the_same_keys_and_tokens(tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    before = read(tmp_path)
    assert provide_credentials(tmp_path, FakeClock(), Places("http://a:1", "http://b:2", "a token")) is Provided.KEPT
    moved = {"GATEWAY": "http://a:1", "ADMIN": "http://b:2", "ADMIN_TOKEN": "a token"}
    assert read(tmp_path) == before | moved


@pytest.mark.parametrize("late", [TOKEN_LIFETIME - 60, TOKEN_LIFETIME + 60])
def test_tokens_that_run_out_are_signed_anew_and_the_keys_are_kept(late: int, tmp_path: Path) -> None:
    clock = FakeClock()
    provide_credentials(tmp_path, clock, HERE)
    before, files = read(tmp_path), contents(tmp_path)
    clock.advance(late)
    assert provide_credentials(tmp_path, clock, HERE) is Provided.RENEWED
    after = read(tmp_path)
    assert [after[name] for name in KEYS] == [before[name] for name in KEYS]
    for name in TOKENS:
        renewed, first = claims(tmp_path, after[name]), claims(tmp_path, before[name])
        assert renewed["exp"] == int(clock.now()) + TOKEN_LIFETIME
        assert {**renewed, "iat": 0, "exp": 0} == {**first, "iat": 0, "exp": 0}
    assert {name for name, text in contents(tmp_path).items() if files[name] != text} == {"demo.env"}


@pytest.mark.parametrize("token", ["", "no.token", "a.b.c", jwt.encode({}, "k" * 32), jwt.encode({"exp": 0}, "k" * 32)])
def test_a_token_that_is_none_is_signed_anew(token: str, tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    file = tmp_path / "demo.env"
    file.write_text(file.read_text().replace(read(tmp_path)["FREE_JWT"], token))
    assert provide_credentials(tmp_path, FakeClock(), HERE) is Provided.RENEWED
    assert claims(tmp_path, read(tmp_path)["FREE_JWT"])["sub"] == "free-by-jwt"


def test_force_makes_everything_anew(tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    before = contents(tmp_path)
    assert provide_credentials(tmp_path, FakeClock(), HERE, force=True) is Provided.MADE
    assert {name for name, text in contents(tmp_path).items() if text == before[name]} == set()


def test_a_start_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    """Nobody was told of a key: the file that tells of them is the last to be written."""
    provide_credentials(tmp_path, FakeClock(), HERE)
    (tmp_path / "demo.env").unlink()
    (tmp_path / "jwks.json").unlink()
    assert provide_credentials(tmp_path, FakeClock(), HERE) is Provided.MADE
    assert {file.name for file in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize("name", sorted(FILES - {"demo.env"}))
def test_what_was_given_out_is_not_replaced_because_a_file_is_missing(name: str, tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    (tmp_path / name).unlink()
    before = contents(tmp_path)
    with pytest.raises(NoDemo, match=f"has demo.env, but no {name}: --force makes all anew"):
        provide_credentials(tmp_path, FakeClock(), HERE)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", "GATEWAY=x\n", "FREE_KEY='unclosed\n"])
def test_a_file_that_somebody_wrote_over_is_not_replaced(text: str, tmp_path: Path) -> None:
    provide_credentials(tmp_path, FakeClock(), HERE)
    (tmp_path / "demo.env").write_text(text)
    with pytest.raises(NoDemo, match="cannot be read as it was written"):
        provide_credentials(tmp_path, FakeClock(), HERE)
    assert (tmp_path / "demo.env").read_text() == text


def test_a_shell_reads_what_was_written_whatever_is_in_it(tmp_path: Path) -> None:
    token = "a b'c\"$(exit 7)`;#"
    provide_credentials(tmp_path, FakeClock(), Places(HERE.gateway, HERE.admin, token))
    command = ["sh", "-c", '. "$1"; printf %s "$ADMIN_TOKEN"', "sh", str(tmp_path / "demo.env")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == token


def test_no_secret_is_in_a_representation(tmp_path: Path) -> None:
    assert "secret" not in repr(Places("http://a", "http://b", "secret"))
