"""`extproc explain`: what it prints, and what it refuses to be asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.certificates import write_folder
from tests.cli.commands import BAD, GOOD, extproc, written

ASK = ("--path", "/users", "-H", "x-api-key: nobody")


def test_it_reads_from_top_to_bottom_as_the_request_travels(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("explain", "gateway.yaml", *ASK, folder=tmp_path)
    assert (ended.code, ended.errors) == (0, "")
    lines = ended.output.splitlines()
    assert lines[0] == "GET /users  host localhost"
    assert lines[1] == "route users  gateway.yaml:6  sidecar calls: ext_authz"
    assert "✘ authenticate  refuse unknown_api_key" in lines[2]
    assert lines[2].endswith("partners  gateway.yaml:6")
    assert "limit         not asked" in lines[3]
    assert lines[5] == "refuse 401 unknown_api_key  by authenticate, gateway.yaml:6"
    assert lines[6] == "the upstream gets nothing"


def test_programs_get_json_with_the_same_facts(tmp_path: Path) -> None:
    ended = extproc("explain", "-", *ASK, "--output", "json", folder=tmp_path, stdin=GOOD.encode())
    document = json.loads(ended.output)
    assert (ended.code, document["decision"], document["status"], document["route"]) == (0, "refuse", 401, "users")
    assert [one["policy"] for one in document["policies"]] == ["authenticate", "limit"]


def test_no_colour_reaches_a_pipe(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    assert "\x1b" not in extproc("explain", "gateway.yaml", *ASK, folder=tmp_path, environment={"NO_COLOR": ""}).output


def test_a_bad_file_is_told_as_check_tells_it(tmp_path: Path) -> None:
    written(tmp_path, BAD)
    ended = extproc("explain", "gateway.yaml", *ASK, folder=tmp_path)
    assert (ended.code, ended.output, ended.said[-1]) == (1, "", "2 problems, nothing was started")


def test_a_certificate_is_shown_as_if_envoy_had_verified_it(tmp_path: Path) -> None:
    """The route of the file that it is asked about takes keys; here, certificates as well."""
    write_folder(tmp_path / "tls")
    tls = "tls: {certificate: tls/server.crt, key: tls/server.key, client_ca: tls/ca.crt}"
    text = GOOD.replace('"0.0.0.0:8080"}', f'"0.0.0.0:8443", {tls}}}').replace(
        "{partners: {api_key: {}}}", "{partners: {api_key: {}}, devices: {client_certificate: {consumer: san_uri}}}"
    )
    written(tmp_path, text.replace("authenticate: partners, limits: [tier]", "authenticate: devices, limits: []"))
    ask = ("explain", "gateway.yaml", "--path", "/users", "--output", "json")
    assert json.loads(extproc(*ask, folder=tmp_path).output)["reason"] == "no_credentials"
    shown = json.loads(extproc(*ask, "--certificate", "tls/client.crt", folder=tmp_path).output)
    assert shown["decision"] == "allow"
    assert ["x-consumer-id", "spiffe://example.com/gateway"] in shown["upstream"]["headers"]
    assert "BEGIN CERTIFICATE" not in json.dumps(shown)
    assert extproc(*ask, "--certificate", "tls/gone.crt", folder=tmp_path).code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--path", "users"],
        ["--path", "/a b"],
        ["--path", "/a#b"],
        ["--path", "/a", "-H", "no colon"],
        ["--path", "/a", "-H", "bad name: x"],
        ["--path", "/a", "-H", ": x"],
        ["--path", "/a", "-H", "x: a\nb"],
        ["--path", "/a", "--method", "G T"],
        ["--path", "/a", "--output", "xml"],
        [],
    ],
)
def test_what_no_client_could_send_is_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("explain", "gateway.yaml", *arguments, folder=tmp_path)
    assert (ended.code, ended.output) == (2, "")
    assert "Traceback" not in ended.errors
