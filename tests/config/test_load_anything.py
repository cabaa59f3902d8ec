"""Whatever the file holds, load() returns or tells: no input is a crash."""

from __future__ import annotations

from typing import Any, Final

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.gateways import loads_or_tells

KEYS: Final = (
    *("listeners", "name", "address", "trusted_proxies", "hops", "envoy", "admin", "concurrency", "sidecar", "stores"),
    *("upstreams", "endpoints", "dns", "timeout", "authentication", "jwt", "api_key", "header", "jwks", "audiences"),
    *("tiers", "rate", "burst", "models", "versions", "upstream", "weight", "sticky", "defaults", "authenticate"),
    *("limits", "per", "policies", "use", "response", "headers", "json", "set", "body_limit", "routes", "match"),
    *("path", "path_prefix", "hosts", "methods", "query", "exact", "prefix", "present", "model", "redirect", "to"),
    *("status", "authorize", "stream", "users", "host", "x-consumer-id", "[key]", "#duplicate", "<<", "", "0", "none"),
)
TEXTS: Final = (
    *("users", "none", "tier", "consumer", "address", "transform", "10/s", "0/s", "30s", "1MiB", "/users", "*", "GET"),
    *("127.0.0.1:80", "[::1]:80", "unix:/run", "file:keys", "present", "logical", "true", "1 +", "consumer.id == ''"),
    *("https://a:99999/", "//a", "header:x", "${A}", "${A:=b}", "${", "\x7f", "\ud7ff", "nan", "1e999", "é"),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(), st.sampled_from(TEXTS), st.text(max_size=6)
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=4))
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def mapping(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names) | keys, anything, max_size=5)


routes = st.lists(
    st.fixed_dictionaries(
        {}, optional={"name": anything, "match": mapping("path", "headers"), "authenticate": anything,
                      "limits": st.lists(mapping("per", "rate") | anything, max_size=2),
                      "policies": st.lists(mapping("use", "response") | anything, max_size=2),
                      "upstream": anything, "model": anything, "redirect": mapping("to", "status")},
    ) | anything,
    max_size=3,
)  # fmt: skip
gateways = st.fixed_dictionaries(
    {},
    optional={
        "listeners": st.lists(mapping("name", "address"), max_size=2) | anything,
        "upstreams": st.dictionaries(keys, mapping("endpoints", "dns"), max_size=2) | anything,
        "authentication": st.dictionaries(keys, mapping("jwt", "api_key"), max_size=2) | anything,
        "tiers": st.dictionaries(keys, mapping("rate", "burst"), max_size=2) | anything,
        "models": st.dictionaries(keys, mapping("versions", "sticky"), max_size=2) | anything,
        "defaults": mapping("authenticate", "limits", "policies") | anything,
        "routes": routes | anything,
        "envoy": anything,
        "sidecar": anything,
    },
)


@settings(max_examples=400, deadline=None)
@given(gateways | anything)
def test_any_data_loads_or_is_told(data: Any) -> None:
    assert loads_or_tells(yaml.dump(data, allow_unicode=True), {"A": "users"})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("abc:-[]{},&*!|>'\"#?%@`$ \n\t0.~<")), max_size=40) | st.text(max_size=30))
def test_any_text_loads_or_is_told(text: str) -> None:
    assert loads_or_tells(text, {"A": "users"})
