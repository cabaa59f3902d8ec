"""What an allowed request takes along, and what it is rid of."""

from __future__ import annotations

import secrets

import pytest

from extproc.core import api_key
from extproc.core.decision import Continue, HeaderEdits
from extproc.core.limits import Limit, Per
from extproc.core.message import Consumer
from extproc.core.policy import Policy
from extproc.core.record import Result
from extproc.core.specs import LimitSpec
from extproc.policies.anonymous import Anonymous
from extproc.policies.api_key import ApiKey
from extproc.policies.limit import LimitPolicy
from extproc.testing import FakeKeys, fake_ports
from extproc.wire.auth_pb2 import CheckResponse
from extproc.wire.base_pb2 import HeaderValueOption
from tests.services.conftest import Serve
from tests.services.fakes import Answers
from tests.services.harness import chain, check_request, gateway

KEY = api_key.spell(secrets.token_bytes(api_key.RANDOM_BYTES))
ALICE = Consumer("alice", "premium", ("orders:read", "orders:write"))
METHOD = ApiKey("partners", "x-api-key", FakeKeys({KEY: ALICE}))
CREDENTIAL = ("x-api-key", KEY.encode())
TEN = Limit("address-0", "route/orders", Per.ADDRESS, 10, 1, 10)


def sent(answer: CheckResponse) -> dict[str, str]:
    return {item.header.key: item.header.value for item in answer.ok_response.headers}


def limit() -> Policy:
    return LimitPolicy.build(LimitSpec({}, by_tier=False, own=(TEN,)), fake_ports())


async def test_the_upstream_is_told_who_is_asking(serve: Serve) -> None:
    rig = await serve(gateway(chain(methods=[METHOD])))
    answer = await rig.check(check_request(CREDENTIAL))
    assert answer.status.code == 0
    assert answer.WhichOneof("http_response") == "ok_response"
    assert sent(answer) == {
        "x-consumer-id": "alice",
        "x-consumer-tier": "premium",
        "x-consumer-scopes": "orders:read orders:write",
    }


async def test_every_header_that_is_set_overwrites_and_none_is_joined_to_what_the_client_sent(serve: Serve) -> None:
    edits = HeaderEdits(set=(("x-color", "green"),))
    rig = await serve(gateway(chain(Answers(Continue(request=edits, response=edits)), methods=[METHOD])))
    answer = (await rig.check(check_request(CREDENTIAL))).ok_response
    options = [*answer.headers, *answer.response_headers_to_add]
    assert {item.header.key for item in options} >= {"x-color", "x-consumer-id"}
    for item in options:
        assert item.HasField("append")
        assert item.append.value is False
        assert item.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        assert not item.header.raw_value


async def test_an_anonymous_request_is_vouched_for_by_nothing(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers())))
    answer = await rig.check(check_request())
    assert answer.HasField("ok_response")
    assert sent(answer) == {}


async def test_the_cluster_header_names_the_upstream_that_a_policy_chose(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers(Continue(upstream="v2")), upstreams=("v1", "v2"))))
    assert sent(await rig.check(check_request())) == {"x-extproc-cluster": "upstream.v2"}


async def test_a_route_to_a_fixed_upstream_gets_no_cluster_header(serve: Serve) -> None:
    rig = await serve(gateway(chain(methods=[METHOD])))
    assert "x-extproc-cluster" not in sent(await rig.check(check_request(CREDENTIAL)))


async def test_the_rate_limit_fields_go_to_the_client(serve: Serve) -> None:
    rig = await serve(gateway(chain(limit())))
    answer = (await rig.check(check_request())).ok_response
    added = {item.header.key: item.header.value for item in answer.response_headers_to_add}
    assert added == {"ratelimit-policy": '"address-0";q=10;w=1', "ratelimit": '"address-0";r=9;t=1'}
    assert not answer.headers


async def test_the_credential_does_not_reach_the_upstream(serve: Serve) -> None:
    rig = await serve(gateway(chain(methods=[METHOD])))
    answer = await rig.check(check_request(CREDENTIAL))
    assert list(answer.ok_response.headers_to_remove) == ["x-api-key"]


@pytest.mark.parametrize("plain", [False, True])
async def test_internal_headers_of_a_client_behind_a_foreign_envoy_are_removed(serve: Serve, *, plain: bool) -> None:
    forged = {"X-Consumer-Id": "root", "x-consumer-plan": "gold", "x-extproc-cluster": "upstream.admin", "x-b": "1"}
    fields = [(name, value.encode()) for name, value in forged.items()]
    rig = await serve(gateway(chain(methods=[METHOD])))
    answer = await rig.check(
        check_request(plain={**forged, "x-api-key": KEY}) if plain else check_request(CREDENTIAL, *fields)
    )
    # The id is overwritten, which removes the forged one; removing it as well would remove ours.
    assert sent(answer)["x-consumer-id"] == "alice"
    assert sorted(answer.ok_response.headers_to_remove) == ["x-api-key", "x-consumer-plan", "x-extproc-cluster"]


async def test_an_anonymous_request_loses_every_forged_identity_header(serve: Serve) -> None:
    rig = await serve(gateway())
    fields = [("x-consumer-id", b"root"), ("x-consumer-id", b"again"), ("x-consumer-tier", b"gold")]
    answer = await rig.check(check_request(*fields))
    assert list(answer.ok_response.headers_to_remove) == ["x-consumer-id", "x-consumer-tier"]
    assert not answer.ok_response.headers


async def test_the_metadata_says_what_was_decided_about_whom(serve: Serve) -> None:
    choice = Continue(upstream="v1", facts={"version": "v1"})
    rig = await serve(gateway(chain(Answers(choice), methods=[METHOD], upstreams=["v1"])))
    answer = await rig.check(check_request(CREDENTIAL))
    assert dict(answer.dynamic_metadata) == {
        "route": "orders", "revision": "r1", "reason": "allowed", "consumer": "alice", "tier": "premium",
        "scopes": "orders:read orders:write", "version": "v1",
    }  # fmt: skip


async def test_what_is_not_known_is_left_out_of_the_metadata(serve: Serve) -> None:
    rig = await serve(gateway())
    answer = await rig.check(check_request())
    assert dict(answer.dynamic_metadata) == {"route": "orders", "revision": "r1", "reason": "allowed"}


async def test_an_allow_is_recorded_with_who_asked_what(serve: Serve) -> None:
    rig = await serve(gateway(chain(Answers(), methods=[METHOD])))
    await rig.check(check_request(CREDENTIAL, path="/orders/7?token=secret"))
    (record,) = rig.records
    assert (record.service, record.result, record.reason) == ("ext_authz", Result.ALLOW, "allowed")
    assert (record.route, record.request_id, record.method) == ("orders", "id-1", "GET")
    assert (record.host, record.path, record.address) == ("shop.example", "/orders/7", "192.0.2.7")
    assert (record.consumer, record.tier, record.status, record.detail) == ("alice", "premium", 0, "")
    assert [name for name, _ in record.steps] == ["authenticate", "policy-0"]


GUESTS = Anonymous("guests", Consumer("anonymous", "guest", ("docs:read",), anonymous=True))


async def test_who_is_anonymous_has_a_tier_and_no_name_for_the_upstream_and_for_envoy(serve: Serve) -> None:
    rig = await serve(gateway(chain(methods=[METHOD, GUESTS])))
    answer = await rig.check(check_request(("x-consumer-id", b"root")))
    assert sent(answer) == {"x-consumer-tier": "guest", "x-consumer-scopes": "docs:read"}
    assert list(answer.ok_response.headers_to_remove) == ["x-consumer-id"]
    assert dict(answer.dynamic_metadata) == {
        "route": "orders", "revision": "r1", "reason": "allowed", "anonymous": "anonymous", "tier": "guest",
        "scopes": "docs:read",
    }  # fmt: skip


async def test_a_key_in_the_query_is_removed_before_the_upstream_and_no_other_query_is_touched(serve: Serve) -> None:
    queried = ApiKey("links", "x-api-key", FakeKeys({KEY: ALICE}), "key")
    rig = await serve(gateway(chain(methods=[queried])))
    answer = await rig.check(check_request(path=f"/orders?b=2&key={KEY}"))
    assert list(answer.ok_response.query_parameters_to_remove) == ["key"]
    assert KEY not in str(rig.recorder.records)
    plain = await rig.check(check_request(CREDENTIAL, path="/orders?b=2"))
    assert list(plain.ok_response.query_parameters_to_remove) == []


async def test_a_cookie_for_the_client_is_set_beside_those_of_the_upstream(serve: Serve) -> None:
    edits = HeaderEdits(set=(("set-cookie", "visit=1"), ("x-color", "green")))
    rig = await serve(gateway(chain(Answers(Continue(response=edits)))))
    answer = (await rig.check(check_request())).ok_response
    actions = HeaderValueOption.HeaderAppendAction
    said = [(option.header.key, option.append_action) for option in answer.response_headers_to_add]
    assert said == [
        ("set-cookie", actions.APPEND_IF_EXISTS_OR_ADD), ("x-color", actions.OVERWRITE_IF_EXISTS_OR_ADD),
    ]  # fmt: skip
