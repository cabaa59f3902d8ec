"""What files of envoyproxy/ratelimit mean, and its words for each mistake. `FILE: message`, with the line beside it."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.config import ratelimit_yaml
from extproc.config.ratelimit_document import read_document
from extproc.core.descriptors import DescriptorLimit, find
from extproc.core.errors import RefusedLimits
from extproc.core.windows import Unit
from tests.core.trees import domains

ONE = "domain: d\ndescriptors:\n- key: a\n  "
LIMIT = ONE + "rate_limit: {{unit: day, requests_per_unit: {}}}\n"
UNMARSHALLED = "error loading config file: yaml: unmarshal errors:\n  "
LOADING = "error loading config file: yaml: "
UNKNOWN = "config error, unknown key"
PIECES = (
    *(
        "domain: d\n",
        "descriptors:\n",
        "- key: a\n",
        "  value: b*\n",
        "  rate_limit: {unit: day}\n",
        "  descriptors:\n",
    ),
    *(
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!!int x",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "|\n",
        "---\n",
        "...\n",
    ),
    *(
        "\t",
        "\0",
        "\ufeff",
        "#",
        "~",
        "1e999",
        "0x",
        ".nan",
        "\n",
        '"\\ud800"',
        "9" * 5_000,
        "[" * 2_000,
        "%YAML 1.3\n",
    ),
)
CANNOT = "cannot unmarshal"
NO_TEXT = "config error, key is not of type string:"


def refused(*texts: str, merge: bool = False) -> tuple[str, int]:
    with pytest.raises(RefusedLimits) as raised:
        domains(*texts, merge=merge)
    return str(raised.value).removeprefix(f"{raised.value.file}: "), raised.value.line


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("", "config file cannot have empty domain", 1),
        ("# nothing\n", "config file cannot have empty domain", 1),
        ("domain: ''\n", "config file cannot have empty domain", 1),
        ("domain: d\ndescriptors:\n- value: x\n", "descriptor has empty key", 3),
        ("domain: d\ndescriptors:\n- key: ''\n", "descriptor has empty key", 3),
        (ONE + "value: b\n- {key: a, value: b}\n", "duplicate descriptor composite key 'd.a_b'", 5),
        (ONE + "\n- key: a\n", "duplicate descriptor composite key 'd.a'", 5),
        (
            ONE + "descriptors:\n  - {key: b, value: c}\n  - {key: b, value: c}\n",
            "duplicate descriptor composite key 'd.a.b_c'", 6,
        ),
        (ONE + "rate_limit: {unit: foo}\n", "invalid rate limit unit 'foo'", 4),
        (ONE + "rate_limit: {unit: unknown}\n", "invalid rate limit unit 'unknown'", 4),
        (ONE + "rate_limit: {unit: 5}\n", "invalid rate limit unit '5'", 4),
        (ONE + "rate_limit: {requests_per_unit: 5}\n", "invalid rate limit unit ''", 4),
        (ONE + "rate_limit: {}\n", "invalid rate limit unit ''", 4),
        (
            ONE + "rate_limit:\n    unlimited: true\n    unit: day\n",
            "should not specify rate limit unit when unlimited", 6,
        ),
        (
            ONE + "rate_limit: {unit: day, name: b, replaces: [{name: b}]}\n",
            "replaces should not contain name of same descriptor", 4,
        ),
        (ONE + "rate_limit: {unit: day, replaces: [{name: b}, {}]}\n", "should not have an empty replaces entry", 4),
        (
            ONE + "value: b\n  share_threshold: true\n",
            "share_threshold can only be used with wildcard values (containing '*'), but found key 'a_b'", 3,
        ),
        (
            ONE + "share_threshold: true\n",
            "share_threshold can only be used with wildcard values (containing '*'), but found key 'a'", 3,
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules(text: str, said: str, line: int) -> None:
    assert refused(text) == (said, line)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (ONE + "ratelimit: {unit: day}\n", f"{UNKNOWN} 'ratelimit'", 4),
        ("domains: d\n", f"{UNKNOWN} 'domains'", 1),
        (ONE + "rate_limit: {requestsperunit: 5}\n", f"{UNKNOWN} 'requestsperunit'", 4),
        ("1: d\n", f"{NO_TEXT} 1", 1),
        ("0.25: d\n", f"{NO_TEXT} 0.25", 1),
        ("1e3: d\n", f"{NO_TEXT} 1000", 1),
        ("1000000.0: d\n", f"{NO_TEXT} 1e+06", 1),
        ("-1234567.5: d\n", f"{NO_TEXT} -1.2345675e+06", 1),
        ("1e-7: d\n", f"{NO_TEXT} 1e-07", 1),
        ("0.0: d\n", f"{NO_TEXT} 0", 1),
        ("0x1F: d\n", f"{NO_TEXT} 31", 1),
        ("1_000: d\n", f"{NO_TEXT} 1000", 1),
        ("010: d\n", f"{NO_TEXT} 8", 1),
        ("y: d\n", f"{NO_TEXT} true", 1),
        ("~: d\n", f"{NO_TEXT} <nil>", 1),
        ("'1': d\n", f"{UNKNOWN} '1'", 1),
        ("domain: d\ndescriptors: [a]\n", "config error, yaml file contains list of type other than map: a", 2),
        (
            "domain: d\ndescriptors:\n- [a, 1, ~, true, {b: 2.5}]\n",
            "config error, yaml file contains list of type other than map: [a 1 <nil> true map[b:2.5]]", 3,
        ),
        (ONE + "value: 1.5\n", "error checking config", 4),
        (ONE + "value: .inf\n", "error checking config", 4),
        (LIMIT.format("1.5"), "error checking config", 4),
        (LIMIT.format("18446744073709551615"), "error checking config", 4),
        (LIMIT.format("-1"), f"{UNMARSHALLED}line 4: cannot unmarshal !!int `-1` into uint32", 4),
        (LIMIT.format("4294967296"), f"{UNMARSHALLED}line 4: cannot unmarshal !!int `4294967296` into uint32", 4),
        (LIMIT.format("12345678901"), f"{UNMARSHALLED}line 4: cannot unmarshal !!int `1234567...` into uint32", 4),
        (LIMIT.format("ten"), f"{UNMARSHALLED}line 4: cannot unmarshal !!str `ten` into uint32", 4),
        (LIMIT.format("'5'"), f"{UNMARSHALLED}line 4: cannot unmarshal !!str `5` into uint32", 4),
        (LIMIT.format("!!str 5"), f"{UNMARSHALLED}line 4: cannot unmarshal !!str `5` into uint32", 4),
        (
            ONE + "shadow_mode: 1\n  quota_mode: hello\n- key: {key: b}\n",
            (f"{UNMARSHALLED}line 4: {CANNOT} !!int `1` into bool\n  line 5: {CANNOT} !!str `hello` into bool\n"
            f"  line 6: {CANNOT} !!map into string"),
            4,
        ),
        (ONE + "rate_limit: 5\n", f"{UNMARSHALLED}line 4: cannot unmarshal !!int `5` into config.YamlRateLimit", 4),
        (
            "domain: d\ndescriptors: {key: x}\n",
            f"{UNMARSHALLED}line 2: cannot unmarshal !!map into []config.YamlDescriptor", 2,
        ),
        (
            ONE + "rate_limit: {unit: day, replaces: b}\n",
            f"{UNMARSHALLED}line 4: cannot unmarshal !!str `b` into []config.yamlReplaces", 4,
        ),
        (ONE + "metadata: x\n", f"{UNMARSHALLED}line 4: cannot unmarshal !!str `x` into map[string]interface {{}}", 4),
        ("[a]\n", f"{UNMARSHALLED}line 1: cannot unmarshal !!seq into map[interface {{}}]interface {{}}", 1),
        ("a\n", f"{UNMARSHALLED}line 1: cannot unmarshal !!str `a` into map[interface {{}}]interface {{}}", 1),
    ],
)  # fmt: skip
def test_a_mistake_in_keys_and_types(text: str, said: str, line: int) -> None:
    assert refused(text) == (said, line)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("'''\n", f"{LOADING}line 2: found unexpected end of stream", 2),
        ("a: b: c\n", f"{LOADING}mapping values are not allowed in this context", 1),
        ("domain: d\n  x: y\n", f"{LOADING}line 2: mapping values are not allowed in this context", 2),
        ("domain: d\ndescriptors: [1, 2\n", f"{LOADING}line 2: did not find expected ',' or ']'", 3),
        ("\tdomain: d\n", f"{LOADING}found character that cannot start any token", 1),
        (ONE + "value b\n", f"{LOADING}line 5: could not find expected ':'", 5),
        ("domain: a\x01b\n", f"{LOADING}control characters are not allowed", 0),
        (ONE + "rate_limit: *nobody\n", f"{LOADING}unknown anchor 'nobody' referenced", 4),
        (ONE + "<<: 5\n", f"{LOADING}map merge requires map or sequence of maps as the value", 4),
        (
            "domain: d\ndescriptors:\n- key: {{ name }}\n",
            f'{LOADING}invalid map key: map[interface {{}}]interface {{}}{{"name":interface {{}}(nil)}}', 3,
        ),
        ("domain: d\ndescriptors: &a\n- {key: a, descriptors: *a}\n", f"{LOADING}an anchor's value contains itself", 2),
        ("a: " + "[" * 200 + "]" * 200, f"{LOADING}nested deeper than 100", 1),
    ],
)  # fmt: skip
def test_what_is_no_yaml(text: str, said: str, line: int) -> None:
    assert refused(text) == (said, line)


def test_aliases_of_aliases_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit_yaml, "MAX_VALUES", 10_000)
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert refused(bomb)[0] == f"{LOADING}document contains excessive aliasing"


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40).map("".join))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RefusedLimits):
        domains(text)


def test_bytes_that_are_no_text_are_told_as_such() -> None:
    with pytest.raises(RefusedLimits, match=r"^f.yaml: error loading config file: yaml: invalid leading UTF-8 octet"):
        read_document("f.yaml", b"domain: \xff\n")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("9223372036854775808", 2.0**63),
        ("18446744073709551616", 2.0**64), ("9" * 5_000, math.inf), ("0x" + "f" * 5_000, "0x" + "f" * 5_000),
        ("0x8000000000000000", 2.0**63), ("-0b" + "1" * 63, -(2**63) + 1), ("1e999", math.inf), ("-1e999", -math.inf),
        ("0o17", 15), ("08", 8.0), ("1e3", 1e3), (".5", 0.5), ("5.", 5.0), ("+7", 7), ("0x", "0x"), ("-", "-"),
    ],
)  # fmt: skip
def test_a_number_of_any_length_is_a_number_or_a_text(written: str, read: object) -> None:
    assert ratelimit_yaml.resolved(written) == read


def limit_of(text: str, *entries: tuple[str, str]) -> DescriptorLimit | None:
    found = find(domains(text)["d"], "d", entries or (("a", "x"),))
    return found.limit if found else None


@pytest.mark.parametrize("unit", ["week", "WEEK", "WeEk"])
def test_a_unit_is_read_in_any_case(unit: str) -> None:
    limit = limit_of(ONE + f"rate_limit: {{unit: {unit}, requests_per_unit: 7}}\n")
    assert limit == DescriptorLimit(7, Unit.WEEK, "d.a")


@pytest.mark.parametrize(
    ("written", "count"), [("4294967295", 2**32 - 1), ("0x10", 16), ("010", 8), ("0b101", 5), ("1_000", 1000), ("~", 0)]
)
def test_a_number_is_read_as_there(written: str, count: int) -> None:
    limit = limit_of(LIMIT.format(written))
    assert limit is not None
    assert limit.count == count


@pytest.mark.parametrize(
    ("written", "value"),
    [("404", "404"), ("true", "true"), ("on", "on"), ("'~'", "~"), ("2020-01-01", "2020-01-01"), ("1:30", "1:30")],
)
def test_a_value_is_the_text_that_was_written(written: str, value: str) -> None:
    text = ONE + f"value: {written}\n  rate_limit: {{unit: day, requests_per_unit: 1}}\n"
    assert limit_of(text, ("a", value)) is not None
    assert limit_of(text, ("a", "another")) is None


def test_every_key_of_a_descriptor_is_read() -> None:
    limit = limit_of(
        ONE
        + "rate_limit: {unit: minute, requests_per_unit: 5, name: n, replaces: [{name: m}, {name: o}]}\n"
        + "  shadow_mode: yes\n  quota_mode: true\n  detailed_metric: on\n"
        + "  metadata: {a: {b: [1, x]}, 2: ~, c: 1.5, d: true}\n"
    )
    assert limit == DescriptorLimit(
        5, Unit.MINUTE, "d.a", "n", ("m", "o"), True, True, True,
        {"a": {"b": [1, "x"]}, "2": None, "c": 1.5, "d": True},
    )  # fmt: skip


def test_a_limit_may_be_unlimited_whatever_its_number() -> None:
    assert limit_of(ONE + "rate_limit: {unlimited: true, requests_per_unit: 5, unit: foo}\n") == DescriptorLimit(
        5, None, "d.a"
    )


def test_an_empty_rate_limit_is_none() -> None:
    assert limit_of(ONE + "rate_limit:\n") is None


def test_anchors_and_merge_keys_are_followed() -> None:
    text = (
        "domain: d\ndescriptors:\n- key: a\n  rate_limit: &x {unit: day, requests_per_unit: 5}\n"
        "- key: b\n  rate_limit: {<<: *x, requests_per_unit: 6}\n- key: c\n  rate_limit: {<<: [*x, {unit: hour}]}\n"
    )
    limits = [limit_of(text, (key, "x")) for key in "abc"]
    assert [(limit.count, limit.unit) for limit in limits if limit] == [(5, Unit.DAY), (6, Unit.DAY), (5, Unit.DAY)]


def test_the_last_of_two_equal_keys_and_the_first_document_count() -> None:
    assert set(domains("domain: e\ndomain: d\n---\ndomain: f\nrubbish: here\n")) == {"d"}


def test_a_domain_is_one_files_unless_files_may_share_it() -> None:
    one, other = ONE + "rate_limit: {unit: day}\n", "domain: d\ndescriptors: [{key: b, rate_limit: {unit: day}}]\n"
    assert refused(one, other) == ("duplicate domain 'd' in config file", 1)
    merged = domains(one, other, merge=True)["d"]
    assert [find(merged, "d", [(key, "")]) is not None for key in "ab"] == [True, True]
    assert refused(one, one, merge=True) == ("duplicate descriptor composite key 'd.a'", 3)


def test_no_file_at_all_is_no_domain() -> None:
    assert domains() == {}
