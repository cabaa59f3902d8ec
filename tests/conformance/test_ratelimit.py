"""envoyproxy/ratelimit's own expectations: each lookup, counter and error text is one test."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.app.ratelimit import limit_line
from extproc.config.ratelimit_document import KEYS, read_document
from extproc.config.ratelimit_tree import build_domains
from extproc.core.descriptors import Found, Node, find
from extproc.core.errors import InvalidCall, RefusedLimits, StoreUnavailable
from extproc.core.rate_limiter import EVERYTHING, LimitCall, Modes, Override, RateLimiter, meets
from extproc.core.tally import tally
from extproc.core.windows import Unit
from tests.core.trees import Limiter, Meter, NoWindows, descriptor, told

VARIABLE: Final = "EXTPROC_CONFORMANCE_DATA"
SECTIONS: Final = {
    "source", "lookup_rules", "lookups", "limit_override", "load_errors", "load_error_rule", "counter_rules", "counter",
    "hits_addend", "response_rules", "response_headers", "request_errors", "units", "yaml_keys", "sequences", "stats",
    "note",
}  # fmt: skip
Case = Mapping[str, Any]


def folder() -> Path | None:
    data = os.environ.get(VARIABLE)  # noqa: TID251 - where the data are is said to the tests alone
    return Path(data) / "ratelimit" if data else None


@cache
def expectations() -> dict[str, Any]:
    found = folder()
    document: dict[str, Any] = json.loads((found / "expectations.json").read_bytes()) if found else {}
    return document


pytestmark = pytest.mark.skipif(
    folder() is None, reason=f"set {VARIABLE} to the folder that holds ratelimit/, to run its expectations"
)


def cases(section: str) -> list[Case]:
    return list(expectations().get(section, []))


def loaded(files: Sequence[str], *, merge: bool = False) -> dict[str, Node]:
    root = folder()
    assert root is not None
    documents = [read_document(Path(name).name, (root / name).read_bytes()) for name in files]
    return build_domains(documents, merge=merge)


def files_of(case: Case) -> list[str]:
    config = case["config"]
    return [config] if isinstance(config, str) else list(config)


def entries_of(case: Case) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in case["entries"])


def described(found: Found, entries: Sequence[tuple[str, str]]) -> dict[str, Any]:
    limit, counted = found.limit, found.subject[1::2]
    return {
        "requests_per_unit": limit.count,
        "unit": limit.unit.name if limit.unit else None,
        "stats_key": found.told,
        "name": limit.name,
        "shadow_mode": limit.shadow,
        "metadata": limit.metadata,
        "shared_value_patterns": {
            str(n): part for n, (part, (_, value)) in enumerate(zip(counted, entries, strict=True)) if part != value
        },
    }


def test_every_section_has_its_tests() -> None:
    assert set(expectations()) <= SECTIONS


@pytest.mark.parametrize("case", cases("lookups"), ids=str)
def test_a_lookup(case: Case) -> None:
    root = loaded(files_of(case), merge=case.get("merge_domains", False)).get(case["domain"])
    found = find(root, case["domain"], entries_of(case)) if root else None
    if case["expect"] is None:
        assert found is None
    else:
        assert found is not None
        assert described(found, entries_of(case)).items() >= case["expect"].items()


@pytest.mark.parametrize("case", cases("limit_override"), ids=str)
def test_a_limit_that_a_request_brings_along(case: Case) -> None:
    root = loaded(files_of(case)).get(case["domain"])
    brought = Override(case["limit"]["requests_per_unit"], Unit[case["limit"]["unit"]])
    asked = descriptor(*entries_of(case))._replace(override=brought)
    found = meets(root, case["domain"], asked) if root else None
    if case["expect"] is None:
        assert found is None
    else:
        assert found is not None
        assert described(found, entries_of(case)).items() >= case["expect"].items()


@pytest.mark.parametrize("case", cases("load_errors"), ids=lambda case: "+".join(case["configs"]))
def test_an_error_text(case: Case) -> None:
    with pytest.raises(RefusedLimits) as raised:
        loaded(case["configs"], merge=case["merge_domains"])
    assert str(raised.value) == case["error"]


@pytest.mark.parametrize("case", cases("counter"), ids=str)
async def test_a_counter(case: Case) -> None:
    before = case["counter_after"] - case["hits"]
    counted = tally(case["limit"], before, case["hits"])
    assert (counted.over, counted.near, counted.within) == tuple(
        case[f"{name}_hits"] for name in ("over_limit", "near_limit", "within_limit")
    )
    file = f"domain: d\ndescriptors: [{{key: a, rate_limit: {{unit: day, requests_per_unit: {case['limit']}}}}}]"
    rules = Limiter(build_domains([read_document("f", file.encode())]))
    await rules.ask("d", descriptor(("a", ""), hits=before))
    (status,) = (await rules.ask("d", descriptor(("a", ""), hits=case["hits"]))).statuses
    assert ("OVER_LIMIT" if status.over else "OK", status.remaining) == (case["code"], case["limit_remaining"])


def test_the_units_and_the_keys() -> None:
    assert {unit.name.lower(): unit.value for unit in Unit} == expectations()["units"]
    assert set(expectations()["yaml_keys"]) == KEYS


def test_the_reset_of_the_headers_example() -> None:
    example = expectations()["response_headers"]["example"]
    assert Unit[example["unit"]].left(example["now"]) == example["reset"]


@pytest.mark.parametrize("case", cases("request_errors"), ids=str)
async def test_a_request_that_cannot_be_answered(case: Case) -> None:
    whole = LimitCall("test-domain", (descriptor(("key2", "x")),))
    call = whole._replace(domain=case.get("domain", whole.domain))
    call = call._replace(descriptors=tuple(case.get("descriptors", call.descriptors)))
    rules = RateLimiter(lambda: loaded(["test-config/basic_config.yaml"]), NoWindows(), Meter(), Modes())
    kind = StoreUnavailable if case.get("store") == "error" else InvalidCall
    with pytest.raises(kind) as raised:
        await rules.answer(call)
    assert str(raised.value) == case.get("error", str(raised.value))


def test_every_limit_of_the_examples_is_listed() -> None:
    domains = loaded(["examples/config.yaml", "examples/example.yaml"])
    assert set(domains) == {"mongo_cps", "rl"}
    limit = find(domains["rl"], "rl", (("foo", "x"), ("baz", "shady")))
    assert limit is not None
    assert (
        limit_line(limit.limit)
        == "rl.foo.baz_shady: unit=MINUTE requests_per_unit=3, shadow_mode: true, quota_mode: false"
    )


async def test_what_is_unlimited_has_everything_left() -> None:
    rules = Limiter(loaded(["test-config/basic_config.yaml"]))
    answered = await rules.ask("test-domain", descriptor(("key6", "x")), descriptor(("nobody", "x")))
    unlimited = expectations()["response_rules"]["unlimited"]["limit_remaining"]
    assert told(answered) == [(False, unlimited), (False, 0)]
    assert unlimited == EVERYTHING
