"""`extproc check`: 0 where a file could be served as it is, 1 with every problem where it could not."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.cli.commands import BAD, GOOD, extproc, written

PROBLEMS = [
    "{0}:3:16: tiers.free.rate: a rate is from 1 to 1000000000; to refuse everybody write authorize: 'false'",
    "{0}:6:49: routes[0].upstream: there is no upstream 'user' (did you mean users?)",
    "2 problems, nothing was started",
]


def problems(name: str) -> list[str]:
    return [line.format(name) for line in PROBLEMS]


def test_a_good_file_is_ok(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    assert (ended.code, ended.errors) == (0, "")
    assert re.fullmatch(r"gateway\.yaml: ok \(2 routes, revision [0-9a-f]{16}\)\n", ended.output)


def test_a_bad_file_is_told_in_full_and_on_standard_error(tmp_path: Path) -> None:
    written(tmp_path, BAD)
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    assert (ended.code, ended.output) == (1, "")
    assert ended.said == problems("gateway.yaml")


def test_one_problem_is_counted_as_one(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("10/s", "0/s"))
    assert extproc("check", "gateway.yaml", folder=tmp_path).said[-1] == "1 problem, nothing was started"


def test_a_missing_file_is_a_problem_without_a_traceback(tmp_path: Path) -> None:
    ended = extproc("check", "nowhere.yaml", folder=tmp_path)
    assert (ended.code, ended.output) == (1, "")
    assert ended.said[0] == "nowhere.yaml:1:1: cannot be read: No such file or directory"


def test_standard_input_is_checked_as_a_file_would_be(tmp_path: Path) -> None:
    ended = extproc("check", "-", folder=tmp_path, stdin=GOOD.encode())
    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.startswith("-: ok (2 routes")
    ended = extproc("check", "-", folder=tmp_path, stdin=BAD.encode())
    assert (ended.code, ended.said) == (1, problems("-"))


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_standard_input_is_utf_8_whatever_the_locale(tmp_path: Path, locale: str) -> None:
    environment = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = GOOD.replace("path: /status", "path: /état")
    ended = extproc("check", "-", folder=tmp_path, stdin=text.encode(), environment=environment)
    assert (ended.code, ended.errors) == (0, "")
    ended = extproc("check", "-", folder=tmp_path, stdin=text.encode("latin-1"), environment=environment)
    assert (ended.code, ended.said) == (1, ["-:1:1: is not UTF-8 text", "1 problem, nothing was started"])


def test_files_are_looked_for_beside_the_gateway_file_and_for_standard_input_in_the_current_folder(
    tmp_path: Path,
) -> None:
    text = GOOD + "sidecar: {stores: {keys: file:keys.yaml}}\n"
    file = written(tmp_path, text)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    written(tmp_path, "keys: []\n", "keys.yaml")
    assert extproc("check", file, folder=elsewhere).code == 0
    assert extproc("check", "-", folder=tmp_path, stdin=text.encode()).code == 0
    assert extproc("check", "-", folder=elsewhere, stdin=text.encode()).code == 1


def test_every_other_file_that_cannot_be_used_is_told_at_the_place_that_names_it(tmp_path: Path) -> None:
    text = GOOD.replace(
        "{partners: {api_key: {}}}",
        "{partners: {api_key: {}}, company: {jwt: {issuer: a, audiences: [b], jwks: jwks.json}},\n"
        "  people: {basic: {users: users.yaml}}}",
    )
    written(tmp_path, text + "sidecar: {stores: {keys: file:keys.yaml}}\n")
    written(tmp_path, "{}", "jwks.json")
    written(tmp_path, "users: [{name: acme, password: hunter2}]", "users.yaml")
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    assert ended.code == 1
    assert [line.split(": ")[:2] for line in ended.said[:-1]] == [
        ["gateway.yaml:4:53", "authentication.company.jwt"],
        ["gateway.yaml:5:12", "authentication.people.basic"],
        ["gateway.yaml:14:20", "sidecar.stores.keys"],
    ]
    assert "hunter2" not in ended.errors


@pytest.mark.parametrize(
    ("written_behind", "sentence"),
    [
        ("issuer: https://id.example.com, audiences: [b], secret: short", "a secret for HS256 has at least 32 bytes"),
        ("issuer: company, audiences: [b]", "the issuer would be asked where its keys are, and is not a URL to ask"),
        ("issuer: 'https://id.example.com?a=b', audiences: [b]", "its URL has a query"),
    ],
)
def test_keys_that_cannot_be_used_are_told_at_the_method_that_names_them(
    tmp_path: Path, written_behind: str, sentence: str
) -> None:
    method = f"{{partners: {{api_key: {{}}}}, company: {{jwt: {{{written_behind}}}}}}}"
    written(tmp_path, GOOD.replace("{partners: {api_key: {}}}", method))
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    assert ended.code == 1
    assert ended.said[0].startswith("gateway.yaml:4:53: authentication.company.jwt: ")
    assert sentence in ended.said[0]


def test_an_issuer_is_not_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
        method = f"{{partners: {{api_key: {{}}}}, company: {{jwt: {{issuer: '{issuer}', audiences: [b]}}}}}}"
        written(tmp_path, GOOD.replace("{partners: {api_key: {}}}", method))
        assert extproc("check", "gateway.yaml", folder=tmp_path).code == 0
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_signing_key_is_needed_where_it_serves_and_not_where_a_bootstrap_is_rendered(tmp_path: Path) -> None:
    written(tmp_path, GOOD + "sidecar: {signing: {keys: [signing.pem]}}\n")
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    place, said = f"sidecar.signing.keys: {tmp_path}/signing.pem", "cannot be read: No such file or directory"
    assert ended.said[0] == f"gateway.yaml:13:21: {place} {said}"
    assert extproc("render", "gateway.yaml", folder=tmp_path).code == 0
    written(tmp_path, "hunter2", "signing.pem")
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    assert "is no Ed25519 private key in PEM" in ended.said[0]
    assert "hunter2" not in ended.errors


def test_the_environment_is_read(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("127.0.0.1:9101", "${USERS}"))
    assert extproc("check", "gateway.yaml", folder=tmp_path, environment={"USERS": "users:1"}).code == 0
    ended = extproc("check", "gateway.yaml", folder=tmp_path)
    assert (ended.code, len(ended.said)) == (1, 2)


def test_bytes_in_the_environment_that_are_no_text_are_told(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("upstream: users, auth", "upstream: users, authorize: '${CONDITION}', auth"))
    ended = extproc("check", "gateway.yaml", folder=tmp_path, environment={"CONDITION": "'\udcff' == ''"})
    assert ended.code == 1
    assert "Traceback" not in ended.errors
