"""Whatever stands in a credential's header, the answer is a consumer or a 401: nothing that is sent is our failure."""

from __future__ import annotations

import asyncio
import base64
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.decision import LocalReply
from extproc.core.message import Consumer
from extproc.core.policy import Authenticator
from extproc.core.ports import Answer
from extproc.core.remembered import Remembered
from extproc.policies.basic import Basic, Known
from extproc.policies.hmac import HmacKind, HmacSettings
from extproc.policies.introspection import IntrospectionKind, IntrospectionSettings
from extproc.testing import FakeClock, FakeFetch, fake_ports
from tests.policies.asking import asking
from tests.policies.signatures import SECRET

CLOCK: Final = FakeClock()
ENDPOINT: Final = "https://id/introspect"
LATIN: Final = st.text(st.characters(max_codepoint=255), max_size=60)
# What signature fields are made of, in any order.
PIECES: Final = st.sampled_from(
    [
        "sig", "=", "(", ")", " ", '"', '"@method"', '"@path"', '"x-a"', '"@query-param"', ";", ",", ":", "?1", "@1",
        "@-99999999999999", "1.5", "-0", "999999999999999", "1e9", ":AA==:", "::", "tok/en", "*", "\\", '%"a%20"', "\t",
        ";created=1790000000", ';keyid="k"', ';name="a"', ";created=1.5", ";alg=x", ";expires=@1", "\xe9", "\n",
        'sig=("@method" "@authority" "@path" "@query");created=1790000000;keyid="k"', "sig=:AA==:",
    ]
)  # fmt: skip
FIELDS: Final = st.one_of(LATIN, st.lists(PIECES, max_size=12).map("".join))
PARAMETERS: Final = st.lists(PIECES, max_size=4).map(
    lambda pieces: 'sig=("@method" "@authority" "@path" "@query" ' + "".join(pieces)
)


def ask(method: Authenticator, headers: dict[str, str]) -> None:
    answer = asyncio.run(method.authenticate(asking(headers, query="a=1&a&%ff=%zz")))
    assert isinstance(answer, Consumer) or (isinstance(answer, LocalReply) and answer.status == 401)


def signatures() -> Authenticator:
    written = HmacSettings.model_validate({"keys": {"k": {"secret": SECRET, "consumer": "c"}}})
    return HmacKind.build("machines", written, fake_ports(clock=CLOCK))


@settings(max_examples=600, deadline=None)
@given(st.one_of(FIELDS, PARAMETERS), FIELDS)
def test_any_two_fields_of_a_signature_are_a_refusal(signature_input: str, signature: str) -> None:
    ask(signatures(), {"signature-input": signature_input, "signature": signature})


@settings(max_examples=200, deadline=None)
@given(st.one_of(LATIN, LATIN.map("Basic {}".format), LATIN.map(lambda text: "Basic " + _base64(text))))
def test_any_name_and_password_is_a_refusal(value: str) -> None:
    quick = Known(b"$argon2id$v=19$m=8,t=1,p=1$YSBzYWx0IG9mIGJ5dGVz$AAAAAAAAAAAAAAAAAAAAAA", Consumer("a"))
    method = Basic("people", "shop", {"a": quick}, Remembered(CLOCK, 1), Remembered(CLOCK, 1))
    ask(method, {"authorization": value})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@settings(max_examples=200, deadline=None)
@given(st.one_of(LATIN, LATIN.map("Bearer {}".format)))
def test_any_token_is_a_question_or_a_refusal(value: str) -> None:
    written = IntrospectionSettings.model_validate({"endpoint": ENDPOINT, "client_id": "c", "client_secret": "s"})
    fetch = FakeFetch({ENDPOINT: Answer(200, body=b'{"active": false}')})
    ask(IntrospectionKind.build("legacy", written, fake_ports(fetch=fetch)), {"authorization": value})
