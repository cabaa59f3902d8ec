"""Writing YAML that Envoy's reader understands as ours does, and the zero values that must be seen."""

from __future__ import annotations

import pytest
import yaml

from extproc.bootstrap.explicit import EXPLICIT, write_defaults
from extproc.bootstrap.render import NOTE, render


@pytest.mark.parametrize("text", ["n", "y", "no", "on", "null", "~", "1", "1.5", "0x10", "1:30", "", "a: b", "#c", "é"])
def test_every_text_is_quoted_so_that_no_reader_takes_it_for_something_else(text: str) -> None:
    written = render({"name": text})
    assert yaml.safe_load(written) == {"name": text}
    assert f'name: "{text}"' in written or not text.isascii()


def test_a_key_of_one_letter_is_quoted_too() -> None:
    assert '"n": 1' in render({"n": 1})


def test_numbers_and_booleans_stay_what_they_are() -> None:
    assert render({"port": 8080, "deny": False}) == NOTE + "port: 8080\ndeny: false\n"


def test_the_same_data_is_never_written_as_a_reference() -> None:
    shared = {"timeout": "1s"}
    assert "&" not in render({"a": shared, "b": shared}).removeprefix(NOTE)


def test_a_zero_value_that_matters_is_written_back() -> None:
    kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
    written = write_defaults({"filters": [{"typed_config": {"@type": kind, "timeout": "1s"}}]})
    assert written["filters"][0]["typed_config"]["failure_mode_allow"] is False


def test_a_value_that_is_there_is_not_overwritten() -> None:
    for kind, defaults in EXPLICIT.items():
        there = {"@type": kind, **dict.fromkeys(defaults, "written")}
        assert write_defaults(there) == there


def test_other_messages_are_left_as_they_are() -> None:
    assert write_defaults({"@type": "other", "a": [1, {"b": 0}]}) == {"@type": "other", "a": [1, {"b": 0}]}
