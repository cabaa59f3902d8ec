"""What an allow gives the upstream besides the request, and that nothing else learns of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import pytest

from extproc.core import api_key
from extproc.core.decision import Continue, HeaderEdits
from extproc.core.handover import Handover, UpstreamCredential
from extproc.core.message import Consumer
from extproc.core.record import Result
from extproc.policies.api_key import ApiKey
from extproc.testing import FakeKeys
from extproc.wire.auth_pb2 import CheckResponse
from tests.services.conftest import Serve
from tests.services.fakes import REFUSED, Answers
from tests.services.harness import chain, check_request, gateway

KEY = api_key.spell(secrets.token_bytes(api_key.RANDOM_BYTES))
METHOD = ApiKey("partners", "x-api-key", FakeKeys({KEY: Consumer("alice", groups=("staff",))}))
ASKED = check_request(("x-api-key", KEY.encode()))
SECRET = "Bearer hunter2"
SHOWN = {"users": UpstreamCredential("authorization", SECRET)}


@dataclass(slots=True)
class Signs:
    error: Exception | None = None
    signed: list[tuple[str, str]] = field(default_factory=list)

    def token(self, consumer: Consumer, upstream: str) -> str:
        if self.error:
            raise self.error
        self.signed.append((consumer.id, upstream))
        return "a.b.c"


def sent(answer: CheckResponse) -> dict[str, str]:
    names = [item.header.key for item in answer.ok_response.headers]
    assert len(set(names)) == len(names)
    assert not set(names) & set(answer.ok_response.headers_to_remove), "Envoy removes what it has set"
    return {item.header.key: item.header.value for item in answer.ok_response.headers}


async def test_the_upstream_is_told_the_groups_and_given_a_token(serve: Serve) -> None:
    signer = Signs()
    rig = await serve(gateway(chain(methods=[METHOD]), handover=Handover("users", signer)))
    fields = sent(await rig.check(ASKED))
    assert (fields["x-consumer-groups"], fields["x-consumer-token"]) == ("staff", "a.b.c")
    assert signer.signed == [("alice", "users")]


async def test_the_groups_reach_the_stream_that_edits_the_answer(serve: Serve) -> None:
    rig = await serve(gateway(chain(methods=[METHOD])))
    assert dict((await rig.check(ASKED)).dynamic_metadata)["groups"] == "staff"


async def test_a_token_that_cannot_be_signed_lets_nobody_pass(serve: Serve) -> None:
    rig = await serve(gateway(chain(methods=[METHOD]), handover=Handover("users", Signs(RuntimeError(SECRET)))))
    answer = await rig.check(ASKED)
    assert (answer.HasField("ok_response"), answer.denied_response.status.code) == (False, 500)
    (record,) = rig.records
    assert record.result is Result.ERROR
    assert SECRET not in str(record) + answer.denied_response.body


async def test_a_refusal_signs_nothing_and_shows_no_credential(serve: Serve) -> None:
    signer = Signs()
    rig = await serve(gateway(chain(Answers(REFUSED), methods=[METHOD]), handover=Handover("users", signer, SHOWN)))
    answer = await rig.check(ASKED)
    assert answer.HasField("denied_response")
    assert signer.signed == []
    assert b"hunter2" not in answer.SerializeToString()


async def test_the_upstreams_credential_is_in_the_allow_and_in_no_record_and_no_metadata(serve: Serve) -> None:
    edits = HeaderEdits(set=(("authorization", "of a policy"),))
    rig = await serve(gateway(chain(Answers(Continue(request=edits))), handover=Handover("users", credentials=SHOWN)))
    answer = await rig.check(check_request(("authorization", b"Bearer of-the-client")))
    assert sent(answer) == {"authorization": SECRET}
    assert "hunter2" not in str(dict(answer.dynamic_metadata)) + str(rig.records)


@pytest.mark.parametrize(("chosen", "shown"), [("users", {"authorization": SECRET}), ("other", {})])
async def test_of_a_models_upstreams_the_chosen_one_is_shown_its_own(
    serve: Serve, chosen: str, shown: dict[str, str]
) -> None:
    judged = chain(Answers(Continue(upstream=chosen)), upstreams=("users", "other"))
    rig = await serve(gateway(judged, handover=Handover(credentials=SHOWN)))
    assert sent(await rig.check(check_request())) == {"x-extproc-cluster": f"upstream.{chosen}", **shown}
