"""Which model a request asks for, and what is refused because another reader could take it for another one."""

from __future__ import annotations

from typing import Final

import pytest

from extproc.core.message import Request
from extproc.core.models import NamedBy
from extproc.core.specs import ChooseSpec, ModelsSpec, Version
from extproc.policies.choose import Choose
from extproc.testing import fake_ports
from tests.policies.asking import CALLED, asking, passed, refused


def model(name: str, *aliases: str) -> ChooseSpec:
    return ChooseSpec(name, (Version("v1", name, 10_000),), "none", aliases=aliases)


MODELS: Final = (model("one", "first", "shop/one:latest"), model("two"))


async def named(request: Request, by: NamedBy, of: str = "", otherwise: str = "") -> str | tuple[int, str]:
    policy = Choose.build(ModelsSpec(MODELS, by, of, otherwise), fake_ports())
    decision = await policy.on_request(request, CALLED)
    return refused(decision) if hasattr(decision, "reason") else str(passed(decision).facts["model"])


BODIES: Final = [
    (b'{"model": "one"}', "one"),
    (b'{"model": "first", "input": [1, 2]}', "one"),
    (b'{"model": "shop/one:latest"}', "one"),
    (b'{"model": "two"}', "two"),
    (b'{"model": "ONE"}', (404, "unknown_model")),
    (b'{"model": ""}', (400, "no_model")),
    (b"{}", (400, "no_model")),
    (None, (400, "no_model")),
    (b'{"model": null}', (400, "unclear_model")),
    (b'{"MODEL": "one"}', (400, "unclear_model")),
    (b'{"model": "one", "mOdel": "one"}', (400, "unclear_model")),
    (b'{"model": "one", "m\\u006fdel": "two"}', (400, "unreadable_body")),
    (b'{"a": {"b": 1, "b": 2}, "model": "one"}', (400, "unreadable_body")),
    (b'\xef\xbb\xbf{"model": "one"}', (400, "unreadable_body")),
    (b'{"model": "one", "x": NaN}', (400, "unreadable_body")),
    (b'{"model": "one"} {"model": "two"}', (400, "unreadable_body")),
    (b"[" * 100_000, (400, "unreadable_body")),
]


@pytest.mark.parametrize(("body", "expected"), BODIES)
async def test_a_body_names_one_model_or_none(body: bytes | None, expected: str | tuple[int, str]) -> None:
    assert await named(asking(body=body), NamedBy.BODY) == expected


async def test_a_body_that_names_none_may_mean_one() -> None:
    assert await named(asking(body=b"{}"), NamedBy.BODY, otherwise="two") == "two"
    assert await named(asking(body=b'{"model": "three"}'), NamedBy.BODY, otherwise="two") == (404, "unknown_model")
    assert await named(asking(body=b"no JSON"), NamedBy.BODY, otherwise="two") == (400, "unreadable_body")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
async def test_an_encoded_body_names_nothing(coding: str) -> None:
    asked = asking({"content-encoding": coding}, body=b'{"model": "one"}')
    assert await named(asked, NamedBy.BODY) == (415, "encoded_body")


@pytest.mark.parametrize("coding", ["identity", ""])
async def test_a_body_that_says_it_is_plain_is_read(coding: str) -> None:
    assert await named(asking({"content-encoding": coding}, body=b'{"model": "one"}'), NamedBy.BODY) == "one"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-model": "first"}, "one"),
        ({"x-model": "three"}, (404, "unknown_model")),
        ({"x-model": "one,two"}, (404, "unknown_model")),
        ({"x-model": ""}, (400, "no_model")),
        ({}, (400, "no_model")),
    ],
)
async def test_a_header_names_a_model(headers: dict[str, str], expected: str | tuple[int, str]) -> None:
    assert await named(asking(headers), NamedBy.HEADER, "x-model") == expected


@pytest.mark.parametrize(
    ("path", "template", "expected"),
    [
        ("/models/one", "/models/{model}", "one"),
        ("/models/one/and/below", "/models/{model}", "one"),
        ("/models/first:predict", "/models/{model}", (404, "unknown_model")),
        ("/models/two/predict", "/models/{model}/predict", "two"),
        ("/models/two/predicted", "/models/{model}/predict", (400, "no_model")),
        ("/models/", "/models/{model}", (400, "no_model")),
        ("/other/one", "/models/{model}", (400, "no_model")),
        ("/m.dels/one", "/m.dels/{model}", "one"),
        ("/mxdels/one", "/m.dels/{model}", (400, "no_model")),
        ("/models/%6fne", "/models/{model}", (404, "unknown_model")),
    ],
)
async def test_a_path_names_a_model(path: str, template: str, expected: str | tuple[int, str]) -> None:
    assert await named(asking(path=path), NamedBy.PATH, template) == expected


async def test_a_route_of_one_model_asks_nobody() -> None:
    assert await named(asking({"x-model": "two"}, body=b'{"model": "two"}'), NamedBy.ROUTE) == "one"
