"""Where an issuer's keys are, by its own word."""

from __future__ import annotations

import json

import pytest

from extproc.stores.discovery import document_of, jwks_location

ISSUER = "https://id.example.com/tenant"


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://id.example.com", "https://id.example.com/.well-known/openid-configuration"),
        ("https://id.example.com/", "https://id.example.com/.well-known/openid-configuration"),
        ("https://id.example.com/a/b", "https://id.example.com/a/b/.well-known/openid-configuration"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/openid-configuration"),
        ("http://localhost/x", "http://localhost/x/.well-known/openid-configuration"),
    ],
)
def test_the_document_is_below_the_issuer(issuer: str, expected: str) -> None:
    assert document_of(issuer) == expected


@pytest.mark.parametrize(
    "issuer",
    [
        *("", "company", "id.example.com", "http://id.example.com", "file:///etc/passwd", "https://", "ftp://x"),
        *(
            "https://a@id.example.com",
            "https://id.example.com#x",
            "https://id.example.com?x=1",
            "http://169.254.169.254",
        ),
    ],
)
def test_an_issuer_that_cannot_be_asked_has_none(issuer: str) -> None:
    with pytest.raises(ValueError, match="the issuer would be asked where its keys are"):
        document_of(issuer)


def test_it_says_where_the_keys_are() -> None:
    document = {"issuer": ISSUER, "jwks_uri": "https://keys.example.com/jwks", "more": [1]}
    assert jwks_location(json.dumps(document).encode(), ISSUER) == "https://keys.example.com/jwks"


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"null", b"<html>", b"{}", b"\xff",
        b'{"issuer": "https://id.example.com/tenant"}',
        b'{"jwks_uri": "https://id.example.com/jwks"}',
        b'{"issuer": "https://id.example.com/other", "jwks_uri": "https://id.example.com/jwks"}',
        b'{"issuer": "https://id.example.com/tenant/", "jwks_uri": "https://id.example.com/jwks"}',
        b'{"issuer": ["https://id.example.com/tenant"], "jwks_uri": "https://id.example.com/jwks"}',
        b'{"issuer": "x", "issuer": "https://id.example.com/tenant", "jwks_uri": "https://id.example.com/jwks"}',
        b'{"issuer": "https://id.example.com/tenant", "jwks_uri": "http://id.example.com/jwks"}',
        b'{"issuer": "https://id.example.com/tenant", "jwks_uri": "file:///etc/passwd"}',
        b'{"issuer": "https://id.example.com/tenant", "jwks_uri": "//id.example.com/jwks"}',
        b'{"issuer": "https://id.example.com/tenant", "jwks_uri": ["https://id.example.com/jwks"]}',
        b'{"issuer": "https://id.example.com/tenant", "jwks_uri": null}',
    ],
)  # fmt: skip
def test_a_document_of_somebody_else_or_to_somewhere_else_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        jwks_location(document, ISSUER)
