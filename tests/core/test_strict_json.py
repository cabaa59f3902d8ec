"""JSON as two parties must read it alike."""

from __future__ import annotations

import json
import time
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.strict_json import MAX_DEPTH, loads_strictly

GOOD: Final[dict[bytes, object]] = {
    b"{}": {},
    b' [1, -2.5, 1e3, "x", true, false, null]\n': [1, -2.5, 1000.0, "x", True, False, None],
    b'{"a":{"a":1},"b":{"a":1}}': {"a": {"a": 1}, "b": {"a": 1}},
    b'{"a":1,"A":2}': {"a": 1, "A": 2},
    b'"\\ud83d\\ude00"': "\U0001f600",
    '"é\U0001f600"'.encode(): "é\U0001f600",
    b"18446744073709551616": 2**64,
    b'"\xef\xbb\xbf"': "\ufeff",
}
BAD: Final = {
    "a name twice": b'{"a":1,"a":1}',
    "a name twice, deep": b'[{"x":{"a":1,"b":2,"a":3}}]',
    "a name twice, spelled differently": b'{"a":1,"\\u0061":2}',
    "not a number": b'{"a":NaN}',
    "infinity": b"[Infinity]",
    "minus infinity": b"-Infinity",
    "a number that becomes infinite": b'{"a":1e400}',
    "a number that becomes minus infinite": b"[-1e400]",
    "five thousand digits": b"1" * 5_000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "utf-16 without a mark": "{}".encode("utf-16-le"),
    "utf-32": "{}".encode("utf-32-be"),
    "latin-1": b'"\xe9"',
    "an overlong encoding": b'"\xc0\xaf"',
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate for a name": b'{"\\udc00":1}',
    "a surrogate in utf-8": b'"\xed\xa0\x80"',
    "nothing": b"",
    "space": b" ",
    "two documents": b"{}{}",
    "a trailing comma": b"[1,]",
    "a comment": b"{}//",
    "single quotes": b"{'a':1}",
    "a control character in a string": b'"\n"',
    "an unknown escape": b'"\\x41"',
    "a leading zero": b"01",
    "a plus sign": b"+1",
    "an open string": b'["',
    "a bracket too many": b"[]]",
}


@pytest.mark.parametrize("text", GOOD)
def test_this_is_read_as_what_it_says(text: bytes) -> None:
    assert loads_strictly(text) == GOOD[text]


@pytest.mark.parametrize("case", BAD)
def test_what_two_readers_could_read_differently_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads_strictly(BAD[case])


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


def test_nesting_is_bounded() -> None:
    assert loads_strictly(nested(MAX_DEPTH))
    with pytest.raises(ValueError, match="nested deeper than 64"):
        loads_strictly(nested(MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="nested deeper than 64"):
        loads_strictly(nested(MAX_DEPTH + 1, '{"a":[', "]}"))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(loads_strictly(b"[" + b"[],{}," * 1_000 + b"1]")) == 2_001


def test_brackets_inside_strings_do_not_count() -> None:
    text = json.dumps(["[" * 1_000, '"' + "{" * 1_000, "\\" * 3 + "[" * 1_000, {"[" * 1_000: "]"}])
    assert loads_strictly(text.encode()) == json.loads(text)


def test_a_quote_that_is_escaped_hides_no_depth() -> None:
    with pytest.raises(ValueError, match="nested deeper than 64"):
        loads_strictly(b'["\\"", "\\\\", ' + nested(MAX_DEPTH) + b"]")


QUADRATIC: Final = {
    "depth 100,000": nested(100_000),
    "depth 100,000, never closed": b"[" * 100_000,
    "a string that never ends": b"[]," * 70 + b'"' + b'\\"' * 200_000,
    "strings that never end": b"[]," * 70 + b'"\\\n' * 200_000,
    "only quotes": b"[" * 70 + b'"' * 400_001,
    "only backslashes": b"[" * 70 + b'"' + b"\\" * 400_001,
    "depth 100,000 behind an open string": b'"' + b"[" * 100_000,
    "depth 100,000 behind a bad escape": b'["\\\n", "' + b"[" * 100_000 + b'"]',
}


@pytest.mark.parametrize("case", QUADRATIC)
def test_what_is_refused_is_refused_in_one_pass(case: str) -> None:
    """CPU time, because a stalled event loop stalls every request; the bound is generous, the mistake was minutes."""
    started = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        loads_strictly(QUADRATIC[case])
    assert time.process_time() - started < 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans())
def test_every_other_document_is_read_as_the_library_reads_it(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return
    try:
        assert loads_strictly(encoded) == value
    except ValueError:
        assert not ascii_only or "\\ud" in text


@given(st.binary(max_size=200))
def test_bytes_of_any_sort_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        json.dumps(loads_strictly(data), allow_nan=False)
    except ValueError:
        return


@pytest.mark.parametrize(
    "text", ["[" + "[]," * 20_000 + "[]]", "[" + "0," * 20_001 + "0]", "{" + '"a":{},' * 20_000 + "}"]
)
def test_more_values_than_a_reader_should_spend_its_time_on_are_refused(text: str) -> None:
    """One event loop answers everybody."""
    with pytest.raises(ValueError, match="more than 20000 values"):
        loads_strictly(text.encode())


def test_a_large_document_of_few_values_is_read() -> None:
    assert len(loads_strictly(b'{"a": "' + b"x" * 1_000_000 + b'"}')["a"]) == 1_000_000


def test_a_whole_number_has_as_many_digits_as_the_largest_double_and_no_more() -> None:
    assert loads_strictly(b"[-" + b"9" * 309 + b"]") == [-int("9" * 309)]
    for many in (b"9" * 311, b"-" + b"9" * 310):
        with pytest.raises(ValueError, match="digits"):
            loads_strictly(b"[" + many + b"]")
