"""What an upstream gets besides the request: who is asking, a token for it alone, and what the gateway shows it."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.core.decision import CONTINUE, Continue, HeaderEdits
from extproc.core.handover import Handover, UpstreamCredential
from extproc.core.headers import Headers
from extproc.core.message import Consumer

ACME = Consumer("acme", "free")
KEY = UpstreamCredential("authorization", "Bearer hunter2")
OTHER = UpstreamCredential("x-key", "hunter3")
NO_FIELDS = Headers()
OURS = (("x-consumer-id", "acme"), ("x-consumer-tier", "free"))


@dataclass(frozen=True, slots=True)
class Spells:
    """A signer whose tokens can be read."""

    def token(self, consumer: Consumer, upstream: str) -> str:
        return f"{consumer.id} to {upstream}"


def test_without_more_the_upstream_gets_plain_headers() -> None:
    assert Handover("users").hand(CONTINUE, ACME, NO_FIELDS) == (OURS, (), ())
    assert Handover("users").hand(CONTINUE, None, NO_FIELDS) == ((), (), ())


def test_a_token_is_for_the_upstream_that_the_route_leads_to() -> None:
    handed = Handover("users", Spells()).hand(CONTINUE, ACME, NO_FIELDS)
    assert handed == (OURS, (("x-consumer-token", "acme to users"),), ())


def test_a_token_is_for_the_upstream_that_was_chosen() -> None:
    handed = Handover(signer=Spells()).hand(Continue(upstream="v2"), ACME, NO_FIELDS)
    assert dict(handed.set)["x-consumer-token"] == "acme to v2"


def test_nobody_and_an_anonymous_consumer_get_no_token() -> None:
    for consumer in (None, Consumer("acme", "free", anonymous=True)):
        assert "x-consumer-token" not in dict(Handover("users", Spells()).hand(CONTINUE, consumer, NO_FIELDS).set)


def test_a_redirect_leads_to_no_upstream_that_a_token_could_be_for() -> None:
    assert Handover(signer=Spells()).hand(CONTINUE, ACME, NO_FIELDS) == (OURS, (), ())


def test_a_forged_token_is_replaced_or_removed() -> None:
    forged = Headers.of({"x-consumer-token": "forged", "x-consumer-groups": "admin"})
    signed = Handover("users", Spells()).hand(CONTINUE, ACME, forged)
    assert signed.remove == ("x-consumer-groups",)
    assert signed.set.count(("x-consumer-token", "acme to users")) == 1
    assert Handover("users").hand(CONTINUE, ACME, forged).remove == ("x-consumer-token", "x-consumer-groups")


def test_the_upstreams_credential_is_set_once_and_never_removed_whatever_policies_and_clients_wrote() -> None:
    """Envoy sets first and removes then: a name in both would not arrive."""
    edits = HeaderEdits(set=(("x-a", "1"),), remove=("authorization", "x-b"))
    handed = Handover("users", credentials={"users": KEY}).hand(Continue(request=edits), ACME, NO_FIELDS)
    assert handed == (OURS, (("x-a", "1"), ("authorization", "Bearer hunter2")), ("x-b",))
    edits = HeaderEdits(set=(("authorization", "of a policy"), ("x-a", "1")))
    handed = Handover("users", credentials={"users": KEY}).hand(Continue(request=edits), None, NO_FIELDS)
    assert handed == ((), (("x-a", "1"), ("authorization", "Bearer hunter2")), ())


def test_of_several_upstreams_only_the_chosen_one_is_shown_its_own() -> None:
    handover = Handover(credentials={"v1": KEY, "v2": OTHER})
    assert handover.hand(Continue(upstream="v1"), None, NO_FIELDS).set == (("authorization", "Bearer hunter2"),)
    assert handover.hand(Continue(upstream="v2"), None, NO_FIELDS).set == (("x-key", "hunter3"),)
    edits = HeaderEdits(remove=("authorization",))
    third = handover.hand(Continue(request=edits, upstream="v3"), None, NO_FIELDS)
    assert third == ((("x-extproc-cluster", "upstream.v3"),), (), ("authorization",))


def test_a_credential_is_no_text_of_anything() -> None:
    assert "hunter" not in repr(Handover("users", credentials={"users": KEY, "v2": OTHER}))


def test_what_only_an_upstream_may_see_is_shown_as_that() -> None:
    handover = Handover("users", Spells(), {"users": KEY})
    assert handover.secrets(None) == {"x-consumer-token": "(signed)", "authorization": "(not shown)"}
    assert handover.secrets("other") == {"x-consumer-token": "(signed)"}


def test_what_arrives_is_what_came_without_what_is_for_the_gateway_alone() -> None:
    seen = Headers.of({"x-plain": "1", "x-model-version": "v2", "x-extproc-cluster": "forged", "x-api-key": "secret"})
    handover = Handover(credentials={"v1": KEY}, removed=("x-model-version", "x-extproc-cluster"))
    decision = Continue(request=HeaderEdits(set=(("x-a", "2"),), remove=("x-api-key",)), upstream="v1")
    handed = handover.hand(decision, ACME, seen)
    assert handover.reaching(handed, seen) == (
        ("x-plain", "1"), ("x-a", "2"), ("authorization", "Bearer hunter2"), *OURS,
    )  # fmt: skip
