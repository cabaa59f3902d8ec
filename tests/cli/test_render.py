"""`extproc render`: the bootstrap on standard output, and nothing else there."""

from __future__ import annotations

from pathlib import Path

import yaml

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
