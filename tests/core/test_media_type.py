from __future__ import annotations

import pytest

from extproc.core.media_type import accept_pattern, accepts, is_media_type

OWN, VERSIONED = "application/vnd.shop.v2+json", "application/json;version=2"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (OWN, OWN),
        (OWN.upper(), OWN),
        (f"text/html, {OWN};q=0.9, */*;q=0.1", OWN),
        (f"{OWN};q=0, {OWN};q=0.001", OWN),
        (VERSIONED, VERSIONED),
        ('application/json; charset=utf-8; Version="2" ; q=1.000', VERSIONED),
        ("application/json;quality=3;version=2", VERSIONED),
        ('text/x;y="a\\", b", application/json;version=2', VERSIONED),
    ],
)
def test_an_accept_header_that_names_the_media_type_asks_for_it(accept: str, media_type: str) -> None:
    assert accepts(accept, media_type)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", OWN),
        ("*/*", OWN),
        (f"{OWN};q=0", OWN),
        (f"{OWN};q=0.000", OWN),
        (f"{OWN};Q=0", OWN),
        ("application/vnd.shop.v22+json", OWN),
        ("application/vndxshop.v2+json", OWN),
        ("application/vnd.shop.v2", OWN),
        ("application/json", VERSIONED),
        ("application/json;version=21", VERSIONED),
        ("application/json;conversion=2", VERSIONED),
        ('text/x;y="a, application/json;version=2"', VERSIONED),
    ],
)
def test_any_other_does_not(accept: str, media_type: str) -> None:
    assert not accepts(accept, media_type)


@pytest.mark.parametrize("text", ["json", "a/b;c", "a/b;c=d;e=f", "a/b ", "*/", 'a/b;c="d"', ""])
def test_what_is_no_media_type_has_no_pattern(text: str) -> None:
    assert not is_media_type(text)
    with pytest.raises(ValueError, match="not a media type"):
        accept_pattern(text)
