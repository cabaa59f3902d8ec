"""The scalar types of the language, as tables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from extproc.config.settings import (
    FOLDER,
    Duration,
    File,
    HeaderName,
    HostPort,
    ListenAddress,
    Name,
    Rate,
    parse_duration,
    parse_host_port,
    parse_rate,
    parse_size,
)
from extproc.config.spelling import CALLED

DURATIONS = [
    ("1ms", timedelta(milliseconds=1)),
    ("250ms", timedelta(milliseconds=250)),
    ("30s", timedelta(seconds=30)),
    ("5m", timedelta(minutes=5)),
    ("1h", timedelta(hours=1)),
    ("366d", timedelta(days=366)),
    ("0s", timedelta(0)),
    (timedelta(seconds=2), timedelta(seconds=2)),
]
NO_DURATIONS: list[object] = [
    *("", "30", "s", "1.5s", "-1s", "1 s", "1S", "1sec", "1h30m", "٣s", "1s\n", "9999999999s"),
    *(30, 1.5, True, None, [], {}),
]
SIZES = [
    ("0", 0),
    ("512", 512),
    (512, 512),
    ("512B", 512),
    ("64KiB", 64 * 1024),
    ("1MiB", 1024**2),
    ("1GiB", 1024**3),
]
NO_SIZES: list[object] = [
    "",
    "KiB",
    "1.5MiB",
    "-1",
    "1KB",
    "1kib",
    "1 KiB",
    "1M",
    -1,
    1.5,
    1e3,
    True,
    False,
    None,
    [],
    {},
]
RATES = [
    ("10/s", Rate(10, 1)),
    ("10/second", Rate(10, 1)),
    ("600/m", Rate(600, 60)),
    ("600/minute", Rate(600, 60)),
    ("1000/h", Rate(1000, 3600)),
    ("1000/hour", Rate(1000, 3600)),
    ("5000/d", Rate(5000, 86_400)),
    ("5000/day", Rate(5000, 86_400)),
    ("1000000000/s", Rate(1_000_000_000, 1)),
    (Rate(1, 1), Rate(1, 1)),
]
NO_RATES: list[object] = [
    *("", "10", "/s", "10/", "10/w", "10/S", "10 /s", "0.5/s", "-1/s", "10/10s", "٣/s", "10/s\n"),
    *("0/s", "00/s", "1000000001/s", "99999999999/s", 10, 10.5, True, None, [], {}),
]
ADDRESSES = [
    ("127.0.0.1:80", HostPort("127.0.0.1", 80)),
    ("users.internal:9101", HostPort("users.internal", 9101)),
    ("recommend-v1:1", HostPort("recommend-v1", 1)),
    ("a_b:65535", HostPort("a_b", 65535)),
    ("[::1]:8080", HostPort("::1", 8080)),
    ("[2001:db8::7]:443", HostPort("2001:db8::7", 443)),
    (HostPort("a", 1), HostPort("a", 1)),
]
NO_ADDRESSES: list[object] = [
    *("", "users", "users:", ":80", "users:0", "users:65536", "users:99999", "users:http", "a b:80", "users:80/"),
    *("::1:80", "[::1]", "[::1]:", "[:]:80", "[]:80", "[127.0.0.1]:80", "[fe80::1%eth0]:80", "http://users:80"),
    *(80, 1.5, True, None, [], {}),
]


@pytest.mark.parametrize(("written", "meant"), DURATIONS)
def test_a_duration_is_a_number_with_its_unit(written: object, meant: timedelta) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize("written", NO_DURATIONS)
def test_what_is_no_duration_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValueError, match=r"^not a duration: write 250ms, 30s, 5m, 1h or 1d$"):
        parse_duration(written)


@pytest.mark.parametrize("written", ["0s", "367d", "999999999d"])
def test_a_setting_lasts_longer_than_nothing_and_shorter_than_envoy_can_count(written: str) -> None:
    with pytest.raises(ValidationError, match="must be longer than nothing and at most 366d"):
        TypeAdapter(Duration).validate_python(written)


@pytest.mark.parametrize(("written", "meant"), SIZES)
def test_a_size_is_a_number_of_bytes_with_a_binary_unit(written: object, meant: int) -> None:
    assert parse_size(written) == meant


@pytest.mark.parametrize("written", NO_SIZES)
def test_what_is_no_size_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValueError, match=r"^not a size: write 512, 64KiB, 1MiB or 1GiB$"):
        parse_size(written)


@pytest.mark.parametrize(("written", "meant"), RATES)
def test_a_rate_is_a_count_per_period(written: object, meant: Rate) -> None:
    assert parse_rate(written) == meant


@pytest.mark.parametrize("written", NO_RATES)
def test_what_is_no_rate_is_refused_with_what_to_write(written: object) -> None:
    with pytest.raises(ValueError, match=r"^(not a rate: write 10/s|a rate is from 1 to 1000000000; )"):
        parse_rate(written)


@pytest.mark.parametrize(("written", "meant"), ADDRESSES)
def test_an_address_is_a_host_and_a_port(written: object, meant: HostPort) -> None:
    assert parse_host_port(written) == meant


@pytest.mark.parametrize("address", [address for written, address in ADDRESSES if isinstance(written, str)])
def test_an_address_is_spelled_as_it_is_read(address: HostPort) -> None:
    assert parse_host_port(str(address)) == address


@pytest.mark.parametrize("written", NO_ADDRESSES)
def test_what_is_no_address_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^not an address: write HOST:PORT, IPv6 hosts in brackets$"):
        parse_host_port(written)


@pytest.mark.parametrize("written", ["localhost:80", "999.1.1.1:80", "users.internal:80"])
def test_envoy_listens_on_numeric_addresses_only(written: str) -> None:
    with pytest.raises(ValidationError, match="an address to listen on is numeric"):
        TypeAdapter(ListenAddress).validate_python(written)


@pytest.mark.parametrize("written", ["a", "users-v2", "a.b_c-d", "0", "A" * 63])
def test_a_name_is_short_and_plain(written: str) -> None:
    assert TypeAdapter(Name).validate_python(written) == written


@pytest.mark.parametrize("written", ["", "-a", ".a", "_a", "a b", "a/b", "a:b", "é", "a\n", "A" * 64])
def test_a_name_that_could_be_mistaken_is_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="not a name"):
        TypeAdapter(Name).validate_python(written)


@pytest.mark.parametrize("written", ["", "X-Key", "x key", "x:key", "x-key\n", ":path", "é", "x" * 129])
def test_a_header_name_is_a_lower_case_token(written: str) -> None:
    with pytest.raises(ValidationError, match="not a header name"):
        TypeAdapter(HeaderName).validate_python(written)


def test_a_spelling_is_in_the_json_schema_too() -> None:
    schema = TypeAdapter(Name).json_schema()
    assert schema["pattern"] == "^(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,62})$"
    assert (schema[CALLED], schema["errorMessage"].split(":")[0]) == ("name", "not a name")


def test_a_file_is_looked_for_beside_the_gateway_file(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").touch()
    found = TypeAdapter(File).validate_python("jwks.json", context={FOLDER: tmp_path})
    assert found == tmp_path / "jwks.json"
    absolute = TypeAdapter(File).validate_python(str(found), context={FOLDER: Path("/nowhere")})
    assert absolute == found


@pytest.mark.parametrize("name", ["", ".", "nowhere.json", "long" * 100, "a\0b"])
def test_a_file_that_cannot_be_had_is_refused_and_never_a_crash(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"no such file|File name too long"):
        TypeAdapter(File).validate_python(name, context={FOLDER: tmp_path})
