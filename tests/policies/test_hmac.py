"""Signed requests (RFC 9421, hmac-sha256): what is covered is what was asked for, for a while, and once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from pydantic import ValidationError

from extproc.core.errors import StoreUnavailable
from extproc.core.headers import Headers
from extproc.core.limits import Charge, CounterState, Settlement
from extproc.core.message import Consumer, Request
from extproc.policies.hmac import Hmac, HmacKind, HmacSettings, Refused, base, read
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, fake_ports
from tests.docs.blocks import ROOT
from tests.policies.asking import asking, refused
from tests.policies.signatures import ALWAYS, SECRET, derived, line_of, signature_over, signed

NOW: Final = int(FakeClock().now())
KEY: Final[dict[str, object]] = {"secret": SECRET, "consumer": "billing", "tier": "premium", "scopes": ["orders:write"]}
VALUES: Final = derived("GET", "api.example.com", "/orders", "a=1&b=2")


@dataclass(slots=True)
class Rig:
    clock: FakeClock = field(default_factory=FakeClock)
    settings: dict[str, object] = field(default_factory=dict)
    capacity: int = 1000
    method: Hmac = field(init=False)

    def __post_init__(self) -> None:
        settings = HmacSettings.model_validate({"keys": {"billing": KEY}, **self.settings})
        ports = replace(fake_ports(clock=self.clock), counters=MemoryCounters(self.clock, self.capacity))
        method = HmacKind.build("machines", settings, ports)
        assert isinstance(method, Hmac)
        self.method = method

    async def ask(self, headers: dict[str, str], stream: str = "", **changed: Any) -> Any:
        """The consumer, or the reason of the 401, for the request that VALUES describe, but for what is changed."""
        asked = {"path": "/orders", "host": "api.example.com", "query": "a=1&b=2", "stream": stream, **changed}
        answer = await self.method.authenticate(asking(headers, **asked))
        if isinstance(answer, Consumer):
            return answer
        assert refused(answer)[0] == 401
        return answer.reason


async def outcome(headers: dict[str, str], **settings: object) -> Any:
    return await Rig(settings=settings).ask(headers)


async def test_a_signed_request_names_its_consumer() -> None:
    assert await outcome(signed(VALUES, NOW)) == Consumer("billing", "premium", ("orders:write",))


VECTOR: Final = Request(
    "POST",
    "/foo",
    host="example.com",
    query="param=Value&Pet=dog",
    headers=Headers.of(
        {
            "date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "content-type": "application/json",
            "content-length": "18",
            "signature-input": (
                'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
            ),
            "signature": "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
        }
    ),
)


async def test_the_example_of_the_rfc_verifies() -> None:
    """RFC 9421, appendix B.2.5, with the secret of B.1.5."""
    shared = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    keys = {"test-shared-secret": {"secret": shared, "encoding": "base64", "consumer": "rfc"}}
    method = Rig(settings={"keys": keys}).method
    signature = read(VECTOR, None)
    assert base(signature, VECTOR).decode() == (
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n"@authority": example.com\n"content-type": application/json\n'
        '"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    )
    assert method._verified(signature, VECTOR) == "test-shared-secret"
    tampered = replace(VECTOR, host="example.org")
    with pytest.raises(Refused, match="invalid_signature"):
        method._verified(signature, tampered)


async def test_the_example_of_the_documentation_verifies() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    found = dict(re.findall(r"^(signature(?:-input)?): (gateway=.*)$", page, re.MULTILINE))
    rig = Rig(settings={"keys": {"billing-2026": KEY}, "components": [*ALWAYS, "content-type"], "label": "gateway"})
    headers = {**found, "content-type": "application/json"}
    assert isinstance(await rig.ask(headers, query=""), Consumer)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "POST"}, {"path": "/orders/1"}, {"path": "/Orders"}, {"query": "a=1&b=3"}, {"query": ""},
        {"query": "b=2&a=1"}, {"host": "api.example.org"},
    ],
)  # fmt: skip
async def test_a_signature_is_good_for_its_own_request_alone(changed: dict[str, Any]) -> None:
    assert await Rig().ask(signed(VALUES, NOW), **changed) == "invalid_signature"


async def test_a_signature_of_another_secret_or_key_is_invalid_in_the_same_words() -> None:
    assert await outcome(signed(VALUES, NOW, secret="another secret of thirty-two bytes")) == "invalid_signature"
    assert await outcome(signed(VALUES, NOW, keyid="other")) == "invalid_signature"
    empty = signed(VALUES, NOW, secret="\0" * 32, keyid="other")
    assert await outcome(empty) == "invalid_signature", "what an unknown key is compared with is no key"


async def test_a_request_without_a_query_signs_the_question_mark() -> None:
    values = derived("GET", "api.example.com", "/orders")
    assert isinstance(await Rig().ask(signed(values, NOW), query=""), Consumer)


async def test_the_hosts_letters_are_small_ones() -> None:
    assert isinstance(await Rig().ask(signed(VALUES, NOW), host="API.Example.com"), Consumer)


@pytest.mark.parametrize(
    ("created", "answer"),
    [
        (NOW - 60, "billing"), (NOW - 61, "expired"), (NOW + 5, "billing"), (NOW + 6, "not_yet_valid"),
        (..., "malformed_signature"), ("now", "malformed_signature"), (-1, "malformed_signature"),
        (f"\0{NOW}.5", "malformed_signature"), (10**14, "malformed_signature"), ("\0?1", "malformed_signature"),
        (f"\0@{NOW}", "malformed_signature"), (0, "expired"),
    ],
)  # fmt: skip
async def test_a_signature_is_good_for_a_while_after_it_was_made(created: object, answer: str) -> None:
    heard = await outcome(signed(VALUES, created))
    assert (heard.id if isinstance(heard, Consumer) else heard) == answer


@pytest.mark.parametrize(
    ("expires", "answer"),
    [(NOW + 1, "billing"), (NOW, "expired"), (NOW - 1, "expired"), ("soon", "malformed_signature")],
)
async def test_an_end_of_its_own_is_honoured(expires: object, answer: str) -> None:
    heard = await outcome(signed(VALUES, NOW, expires=expires))
    assert (heard.id if isinstance(heard, Consumer) else heard) == answer


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ({"alg": "hmac-sha256"}, "billing"),
        ({"nonce": "n", "tag": "t"}, "billing"),
        ({"alg": "hmac-sha512"}, "unsupported_signature"),
        ({"alg": "HMAC-SHA256"}, "unsupported_signature"),
        ({"alg": "\0hmac-sha256"}, "malformed_signature"),
        ({"alg": ""}, "unsupported_signature"),
        ({"keyid": ...}, "malformed_signature"),
        ({"keyid": 7}, "malformed_signature"),
        ({"keyid": "\0billing"}, "malformed_signature"),
        ({"nonce": 7}, "malformed_signature"),
        ({"purpose": "other"}, "malformed_signature"),
    ],
)
async def test_parameters_are_those_that_everybody_reads_alike(parameters: dict[str, Any], answer: str) -> None:
    heard = await outcome(signed(VALUES, NOW, **parameters))
    assert (heard.id if isinstance(heard, Consumer) else heard) == answer


@pytest.mark.parametrize("missing", ALWAYS)
async def test_what_says_what_is_asked_for_must_be_covered(missing: str) -> None:
    covered = [name for name in ALWAYS if name != missing]
    assert await outcome(signed(VALUES, NOW, covered)) == "component_not_signed"


async def test_headers_may_be_demanded_as_well() -> None:
    values = {**VALUES, "x-account": "7"}
    demanded = [*ALWAYS, "x-account"]
    rig = Rig(settings={"components": demanded})
    assert await rig.ask({**signed(VALUES, NOW), "x-account": "7"}) == "component_not_signed"
    headers = signed(values, NOW, demanded)
    assert await rig.ask({**headers, "x-account": "8"}) == "invalid_signature"
    assert await rig.ask(headers) == "component_missing"
    assert isinstance(await rig.ask({**headers, "x-account": " 7\t"}), Consumer)


async def test_a_header_that_stands_twice_is_covered_whole() -> None:
    headers = signed({**VALUES, "x-account": "7, 8"}, NOW, [*ALWAYS, "x-account"])
    fields = [*headers.items(), ("x-account", "7"), ("x-account", " 8")]
    request = Request("GET", "/orders", "api.example.com", "a=1&b=2", headers=Headers.of(fields))
    assert isinstance(await Rig().method.authenticate(request), Consumer)
    less = replace(request, headers=Headers.of(fields[:-1]))
    assert refused(await Rig().method.authenticate(less)) == (401, "invalid_signature")


@pytest.mark.parametrize(
    ("component", "value"),
    [
        ("@scheme", "http"),
        ("@request-target", "/orders?a=1&b=2"),
        ("@target-uri", "http://api.example.com/orders?a=1&b=2"),
        ('"@query-param";name="a"', "1"),
    ],
)
async def test_every_derived_component_of_a_request_can_be_covered(component: str, value: str) -> None:
    headers = signed({**VALUES, component: value}, NOW, [*ALWAYS, component])
    assert isinstance(await Rig().ask(headers), Consumer)
    wrong = signed({**VALUES, component: value + "x"}, NOW, [*ALWAYS, component])
    assert await Rig().ask(wrong) == "invalid_signature"


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("n=a+b%21", "n", "a%20b%21"), ("n=%C3%A9", "n", "%C3%A9"), ("%C3%A9=1", "%C3%A9", "1"), ("n=", "n", ""),
        ("n=~*-._", "n", "%7E*-._"), ("n&a=1", "n", ""),
    ],
)  # fmt: skip
async def test_a_query_parameter_is_spelled_in_one_way(query: str, name: str, value: str) -> None:
    component = f'"@query-param";name="{name}"'
    values = {**derived("GET", "api.example.com", "/orders", query), component: value}
    assert isinstance(await Rig().ask(signed(values, NOW, [*ALWAYS, component]), query=query), Consumer)


@pytest.mark.parametrize("query", ["", "a=1&a=2", "b=1", "&".join(f"a{n}" for n in range(101)) + "&a=1"])
async def test_a_query_parameter_that_is_not_there_once_cannot_be_covered(query: str) -> None:
    component = '"@query-param";name="a"'
    values = {**derived("GET", "api.example.com", "/orders", query), component: "1"}
    answer = await Rig().ask(signed(values, NOW, [*ALWAYS, component]), query=query)
    assert answer in ("component_missing", "malformed_signature")


@pytest.mark.parametrize(
    "component",
    [
        '"@status"', '"@unknown"', '"@method";req', '"x-account";sf', '"x-account";bs', '"x-account";tr',
        '"x-account";key="a"', '"@query-param"', '"@path";name="a"', '"@query-param";name="a";req',
    ],
)  # fmt: skip
async def test_a_component_that_is_none_of_a_request_is_refused(component: str) -> None:
    headers = signed({**VALUES, component: "7"}, NOW, [*ALWAYS, component])
    assert await Rig().ask({**headers, "x-account": "7"}) == "unsupported_signature"


LINE: Final = line_of(ALWAYS, {"created": NOW, "keyid": "billing"})
MANY: Final = line_of([*ALWAYS, *(f"x-{n}" for n in range(29))], {"created": NOW, "keyid": "billing"})
GOOD: Final = signature_over(VALUES, ALWAYS, LINE)


@pytest.mark.parametrize(
    ("signature_input", "signature", "reason"),
    [
        (f"sig={LINE}", None, "malformed_signature"),
        (None, f"sig=:{GOOD}:", "malformed_signature"),
        ("", f"sig=:{GOOD}:", "malformed_signature"),
        (f"sig={LINE}", "", "malformed_signature"),
        (f"sig={LINE}", f"other=:{GOOD}:", "malformed_signature"),
        (f"sig={LINE}", f'sig="{GOOD}"', "malformed_signature"),
        (f"sig={LINE}", f"sig={GOOD}", "malformed_signature"),
        (f"sig={LINE}", f"sig=(:{GOOD}:)", "malformed_signature"),
        (f"sig={LINE}", f"sig=:{GOOD[:-4]}:", "invalid_signature"),
        (f"sig={LINE}", "sig=::", "invalid_signature"),
        (f"sig={LINE}", f"sig=:{GOOD}", "malformed_signature"),
        (f"sig={LINE}", "sig", "malformed_signature"),
        ("sig", f"sig=:{GOOD}:", "malformed_signature"),
        ('sig="@method"', f"sig=:{GOOD}:", "malformed_signature"),
        (f"sig={LINE[:-1]}", f"sig=:{GOOD}:", "malformed_signature"),
        (f"sig={LINE} x", f"sig=:{GOOD}:", "malformed_signature"),
        (f"sig={LINE},", f"sig=:{GOOD}:", "malformed_signature"),
        (f"Sig={LINE}", f"Sig=:{GOOD}:", "malformed_signature"),
        ("sig=" + LINE.replace("@path", "@p\xe4th"), f"sig=:{GOOD}:", "malformed_signature"),
        ("sig=" + LINE.replace("(", "(  " * 2000), f"sig=:{GOOD}:", "malformed_signature"),
        (f"sig={LINE}", f"sig=:{GOOD * 200}:", "malformed_signature"),
        ("sig=" + LINE.replace(' "@path"', ' "@path" "@path"'), f"sig=:{GOOD}:", "malformed_signature"),
        ("sig=" + LINE.replace(' "@path"', " @path"), f"sig=:{GOOD}:", "malformed_signature"),
        ("sig=" + LINE.replace(' "@path"', " path"), f"sig=:{GOOD}:", "malformed_signature"),
        (
            f"sig={MANY}",
            f"sig=:{GOOD}:",
            "malformed_signature",
        ),
        (f"a={LINE}, b={LINE}", f"a=:{GOOD}:, b=:{GOOD}:", "several_signatures"),
        (f"a={LINE}", f"a=:{GOOD}:, b=:{GOOD}:", "several_signatures"),
    ],
)
async def test_signatures_are_spelled_in_exactly_one_way(
    signature_input: str | None, signature: str | None, reason: str
) -> None:
    given = {"signature-input": signature_input, "signature": signature}
    headers = {name: value for name, value in given.items() if value is not None}
    rig = Rig()
    assert rig.method.presents(asking(headers))
    assert await rig.ask(headers) == reason


async def test_of_several_signatures_the_labelled_one_counts() -> None:
    ours, theirs = signed(VALUES, NOW, label="gateway"), signed(VALUES, NOW, secret="x" * 32, label="proxy")
    both = {name: f"{theirs[name]}, {ours[name]}" for name in ours}
    assert isinstance(await outcome(both, label="gateway"), Consumer)
    assert await outcome(both, label="proxy") == "invalid_signature"
    assert await outcome(both, label="other") == "malformed_signature"


async def test_a_line_end_in_a_value_makes_no_line_of_its_own() -> None:
    values = {**VALUES, "x-account": '7\n"x-admin": 1'}
    headers = signed(values, NOW, [*ALWAYS, "x-account"])
    assert await Rig().ask({**headers, "x-account": values["x-account"]}) == "malformed_signature"


async def test_what_is_not_ascii_cannot_be_signed() -> None:
    values = {**VALUES, "x-account": "caf\xe9"}
    headers = signed(values, NOW, [*ALWAYS, "x-account"])
    assert await Rig().ask({**headers, "x-account": "caf\xe9"}) == "malformed_signature"


@pytest.mark.parametrize("body", [{"content-length": "2"}, {"transfer-encoding": "chunked"}, {"content-length": "00"}])
async def test_a_body_is_covered_by_its_digest(body: dict[str, str]) -> None:
    assert await outcome({**signed(VALUES, NOW), **body}) == "body_not_signed"
    digest = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    headers = signed({**VALUES, "content-digest": digest}, NOW, [*ALWAYS, "content-digest"])
    assert isinstance(await outcome({**headers, **body, "content-digest": digest}), Consumer)
    assert await outcome({**headers, **body, "content-digest": "sha-256=:AA==:"}) == "invalid_signature"
    assert await outcome({**headers, **body}) == "component_missing"


async def test_no_body_needs_no_digest() -> None:
    assert isinstance(await outcome({**signed(VALUES, NOW), "content-length": "0"}), Consumer)


async def test_a_signature_is_good_once() -> None:
    rig = Rig()
    headers = signed(VALUES, NOW)
    assert isinstance(await rig.ask(headers, stream="1"), Consumer)
    assert await rig.ask(headers, stream="2") == "replayed_signature"
    assert await rig.ask(headers) == "replayed_signature"
    assert isinstance(await rig.ask(signed(VALUES, NOW, nonce="2"), stream="3"), Consumer)


async def test_a_call_that_envoy_repeats_is_no_replay() -> None:
    rig = Rig()
    headers = signed(VALUES, NOW)
    assert isinstance(await rig.ask(headers, stream="1"), Consumer)
    assert isinstance(await rig.ask(headers, stream="1"), Consumer)


async def test_a_signature_is_remembered_for_as_long_as_its_date_is_good() -> None:
    """From a signer whose clock is as far ahead as it may be, to the last moment."""
    rig = Rig(settings={"window": "10s"})
    headers = signed(VALUES, NOW + 5)
    assert isinstance(await rig.ask(headers), Consumer)
    answers = []
    for _ in range(160):
        rig.clock.advance(0.1)
        answers.append(await rig.ask(headers))
    assert set(answers) == {"replayed_signature", "expired"}
    assert answers == sorted(answers, reverse=True), "replayed until it has expired"


async def test_only_good_signatures_are_remembered() -> None:
    rig = Rig(capacity=1)
    bad = signed(VALUES, NOW, secret="x" * 32)
    for _ in range(3):
        assert await rig.ask(bad) == "invalid_signature"
    assert isinstance(await rig.ask(signed(VALUES, NOW)), Consumer)
    with pytest.raises(StoreUnavailable):
        await rig.ask(signed(VALUES, NOW, nonce="2"))


class Down:
    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        raise StoreUnavailable("no answer in time")

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        raise StoreUnavailable("no answer in time")


async def test_what_cannot_be_remembered_is_not_let_through() -> None:
    settings = HmacSettings.model_validate({"keys": {"billing": KEY}})
    method = HmacKind.build("machines", settings, fake_ports(counters=Down()))
    request = asking(signed(VALUES, NOW), path="/orders", host="api.example.com", query="a=1&b=2")
    with pytest.raises(StoreUnavailable):
        await method.authenticate(request)


async def test_methods_and_keys_are_remembered_apart() -> None:
    counters = MemoryCounters(FakeClock())
    settings = HmacSettings.model_validate({"keys": {"billing": KEY, "twin": KEY}})
    request = asking(signed(VALUES, NOW), path="/orders", host="api.example.com", query="a=1&b=2")
    for name in ("machines", "others"):
        method = HmacKind.build(name, settings, fake_ports(counters=counters))
        assert isinstance(await method.authenticate(request), Consumer)
    assert len(counters) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": {}}, {"keys": {"a": {**KEY, "secret": "x" * 31}}}, {"keys": {"a": {**KEY, "consumer": ""}}},
        {"keys": {"a": {**KEY, "encoding": "base64"}}}, {"keys": {"": KEY}},
        {"keys": {"a": {**KEY, "scopes": ["a b"]}}}, {"components": []}, {"components": [*ALWAYS, "@status"]},
        {"components": ["@method", "@authority", "@path"]},
        {"components": [*ALWAYS, "X-Account"]}, {"window": "0s"}, {"window": "61m"}, {"window": "500ms"},
        {"label": "Sig"}, {"label": ""}, {"algorithms": ["hmac-sha1"]},
    ],
)  # fmt: skip
def test_settings_that_would_weaken_the_check_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as invalid:
        HmacSettings.model_validate({"keys": {"billing": KEY}, **wrong})
    assert SECRET not in str(invalid.value)


def test_a_method_tells_how_to_ask_and_what_to_remove_and_no_secret() -> None:
    method = Rig().method
    assert (method.name, method.challenge) == ("machines", 'Signature alg="hmac-sha256"')
    assert method.credential_headers == ("signature-input", "signature")
    assert not method.presents(asking({"authorization": "Bearer a"}))
    assert SECRET not in repr(method)
