"""`extproc serve --ratelimit-config` as it is written: what goes together, and what is said of what does not."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.commands import GOOD, extproc, written
from tests.free_ports import free_port

LIMITS = ("--ratelimit-config", ".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "write one of FILE and --ratelimit-config DIR"),
        (["gateway.yaml", *LIMITS], "write one of FILE and --ratelimit-config DIR"),
        (["gateway.yaml", "--shadow-mode"], "--shadow-mode goes with --ratelimit-config DIR, not with a FILE"),
        (["gateway.yaml", "--address", "127.0.0.1:1"], "--address goes with --ratelimit-config DIR, not with a FILE"),
        ([*LIMITS, "--address", "8081"], "'8081' is not an address: write HOST:PORT, IPv6 hosts in brackets"),
        ([*LIMITS, "--address", "127.0.0.1:0"], "'127.0.0.1:0' is not an address: write HOST:PORT"),
        ([*LIMITS, "--address", "unix:"], "'unix:' is no address: a socket's path has 1 to 107 bytes"),
        ([*LIMITS, "--admin", "nowhere"], "'nowhere' is not an address: write HOST:PORT"),
        ([*LIMITS, "--store", "disk"], "there is no store of that name: write memory or the URL of a Redis"),
        ([*LIMITS, "--store", "redis://"], "not the URL of a Redis: write redis://HOST:PORT/NUMBER"),
        (
            [*LIMITS, "--store", "redis://:hunter2@127.0.0.1:6379"],
            "a password on a command line is for everybody to see: put the URL into EXTPROC_RATELIMIT_STORE",
        ),
        ([*LIMITS, "--tls-cert", "a.crt"], "write both --tls-cert and --tls-key"),
        ([*LIMITS, "--tls-client-ca", "a.crt"], "write both --tls-cert and --tls-key"),
        (
            [*LIMITS, "--address", "unix:/tmp/a.sock", "--tls-cert", "a", "--tls-key", "b"],
            "a socket of this machine has no TLS: its folder says who may enter",
        ),
        ([*LIMITS, "--near-limit-ratio", "1.1"], "'1.1' is no share: write a number from 0 to 1"),
        ([*LIMITS, "--near-limit-ratio", "most"], "'most' is no share: write a number from 0 to 1"),
        ([*LIMITS, "--near-limit-ratio", "1/0"], "'1/0' is no share: write a number from 0 to 1"),
        (
            [*LIMITS, "--response-headers", "a,b"],
            "'a,b': write three header names with commas between them, or default",
        ),
        ([*LIMITS, "--response-headers", "a,b, c d"], "write three header names with commas between them, or default"),
    ],
)
def test_wrong_usage_is_2_and_says_what_to_write(arguments: list[str], said: str, tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("serve", *arguments, folder=tmp_path)
    assert (ended.code, ended.output) == (2, "")
    assert said in " ".join(ended.errors.split())
    assert "hunter2" not in ended.errors


def test_files_that_cannot_be_used_are_1_with_the_words_for_it(tmp_path: Path) -> None:
    written(tmp_path, "domain: d\ndescriptors: [{key: a, rate_limit: {unit: fortnight}}]\n", "bad.yaml")
    ended = extproc("serve", *LIMITS, folder=tmp_path)
    assert (ended.code, ended.output) == (1, "")
    assert ended.said == ["bad.yaml: invalid rate limit unit 'fortnight'", "in line 2; nothing was started"]


def test_check_counts_what_is_good_and_tells_a_mistake(tmp_path: Path) -> None:
    limit = "rate_limit: {unit: day, requests_per_unit: 1}"
    written(tmp_path, f"domain: d\ndescriptors: [{{key: a, {limit}}}, {{key: b, {limit}}}]\n", "good.yaml")
    text, json_ = (extproc("check", *LIMITS, *more, folder=tmp_path) for more in ([], ["--output", "json"]))
    assert (text.code, text.output) == (0, ".: ok (1 file, 1 domain, 2 limits)\n")
    assert json.loads(json_.output) == {"ok": True, "files": 1, "domains": 1, "limits": 2}
    written(tmp_path, f"domain: d\ndescriptors: [{{key: c, {limit}}}]\n", "more.yaml")
    text, json_ = (extproc("check", *LIMITS, *more, folder=tmp_path) for more in ([], ["--output", "json"]))
    assert (text.code, text.output) == (1, "")
    assert text.said[0] == "more.yaml: duplicate domain 'd' in config file"
    assert (json_.code, json_.errors) == (1, "")
    assert json.loads(json_.output)["problems"] == [
        {
            "file": "more.yaml",
            "line": 1,
            "column": 1,
            "path": "",
            "message": "duplicate domain 'd' in config file",
            "hint": "",
        }
    ]
    assert extproc("check", *LIMITS, "--merge-domains", folder=tmp_path).code == 0


@pytest.mark.parametrize("arguments", [[], ["gateway.yaml", *LIMITS]])
def test_check_takes_a_file_or_a_folder(arguments: list[str], tmp_path: Path) -> None:
    ended = extproc("check", *arguments, folder=tmp_path)
    assert ended.code == 2
    assert "write one of FILE and --ratelimit-config DIR" in ended.errors


def test_a_folder_that_is_not_there_is_1_and_a_sentence(tmp_path: Path) -> None:
    ended = extproc("serve", "--ratelimit-config", "nowhere", folder=tmp_path)
    assert ended.code == 1
    assert ended.said[0] == "nowhere: cannot be read: No such file or directory"


def test_a_certificate_that_cannot_be_used_is_3_and_names_the_file(tmp_path: Path) -> None:
    ended = extproc("serve", *LIMITS, "--tls-cert", "a.crt", "--tls-key", "a.key", folder=tmp_path)
    assert (ended.code, ended.output) == (3, "")
    assert ended.said == ["extproc: a.crt: cannot be read: No such file or directory"]


@pytest.mark.parametrize("option", ["--address", "--admin"])
def test_an_address_that_is_taken_is_3_and_names_it(option: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addresses = {"--address": f"127.0.0.1:{free_port()}", "--admin": f"127.0.0.1:{free_port()}"}
        addresses[option] = f"127.0.0.1:{taken.getsockname()[1]}"
        options = [part for pair in addresses.items() for part in pair]
        ended = extproc("serve", *LIMITS, *options, folder=tmp_path)
    assert ended.code == 3
    assert ended.said[-1].startswith(f"extproc: {addresses[option]} cannot be used: ")
