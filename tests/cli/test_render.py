"""`extproc render`: the bootstrap on standard output, and nothing else there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import yaml

from tests.certificates import write_folder
from tests.cli.commands import BAD, GOOD, extproc, written


def test_what_is_printed_is_yaml_for_envoy(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("render", "gateway.yaml", folder=tmp_path)
    assert (ended.code, ended.errors) == (0, "")
    bootstrap = yaml.safe_load(ended.output)
    assert {"admin", "static_resources"} <= set(bootstrap)
    assert [cluster["name"] for cluster in bootstrap["static_resources"]["clusters"]] == [
        "extproc.sidecar",
        "upstream.users",
    ]


def test_the_same_file_is_printed_byte_for_byte_alike(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    first, second = (
        extproc("render", "gateway.yaml", folder=tmp_path, environment={"PYTHONHASHSEED": seed}) for seed in "12"
    )
    assert first.code == 0
    assert first.output == second.output


def test_standard_input_is_rendered_as_the_file_is(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    piped = extproc("render", "-", folder=tmp_path, stdin=GOOD.encode())
    assert piped.output == extproc("render", "gateway.yaml", folder=tmp_path).output


def test_nothing_is_printed_of_a_bad_file(tmp_path: Path) -> None:
    written(tmp_path, BAD)
    ended = extproc("render", "gateway.yaml", folder=tmp_path)
    assert (ended.code, ended.output) == (1, "")
    assert ended.said[-1] == "2 problems, nothing was started"


SECURE: Final = GOOD.replace(
    'address: "0.0.0.0:8080"}', 'address: "0.0.0.0:8443", tls: {certificate: tls/server.crt, key: tls/server.key}}'
)


def test_a_file_that_names_certificates_wants_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "tls")
    written(tmp_path, SECURE)
    ended = extproc("render", "gateway.yaml", folder=tmp_path)
    assert (ended.code, ended.output) == (2, "")
    assert "--into DIR" in " ".join(ended.said)


def test_into_a_folder_goes_all_that_envoy_needs(tmp_path: Path) -> None:
    write_folder(tmp_path / "tls")
    written(tmp_path, SECURE)
    (tmp_path / "out" / "secrets").mkdir(parents=True)
    (tmp_path / "out" / "secrets" / "listener.old.certificate.0.yaml").write_text("of an earlier gateway")
    ended = extproc("render", "gateway.yaml", "--into", "out", folder=tmp_path)
    assert (ended.code, ended.errors, ended.said) == (0, "", [])
    assert ended.output == f"{tmp_path}/out/bootstrap.yaml\n"
    left = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    secret = "secrets/listener.public.certificate.0.yaml"
    assert left == {"bootstrap.yaml", secret}
    assert str(tmp_path / "out" / secret) in (tmp_path / "out" / "bootstrap.yaml").read_text()
    named = yaml.safe_load((tmp_path / "out" / secret).read_text())["resources"][0]["tls_certificate"]
    assert named["certificate_chain"] == {"filename": str(tmp_path / "tls" / "server.crt")}
    assert "PRIVATE KEY" not in "".join(file.read_text() for file in (tmp_path / "out").rglob("*.yaml"))


def test_a_program_is_told_where_the_bootstrap_is(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("render", "gateway.yaml", "--into", "out", "-o", "json", folder=tmp_path)
    assert json.loads(ended.output) == {"bootstrap": f"{tmp_path}/out/bootstrap.yaml"}
    plain = extproc("render", "gateway.yaml", folder=tmp_path)
    assert (tmp_path / "out" / "bootstrap.yaml").read_text() == plain.output


def test_nothing_is_written_of_a_bad_file(tmp_path: Path) -> None:
    written(tmp_path, BAD)
    assert extproc("render", "gateway.yaml", "--into", "out", folder=tmp_path).code == 1
    assert not (tmp_path / "out").exists()
