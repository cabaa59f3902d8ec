"""Who is asking: jwt_authn (EX6xx)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from extproc.audit.edge_rules import DOCS
from extproc.audit.envoy import JWT, MANAGER, RBAC, Envoy, is_loopback
from extproc.audit.node import Node
from extproc.audit.places import Weak, any_of, if_over, if_true, in_each, of, unless_written
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

PROTO: Final = DOCS + "api-v3/extensions/filters/http/jwt_authn/v3/config.proto"
BEST_PRACTICE: Final = "https://www.rfc-editor.org/rfc/rfc8725"
MAX_SKEW: Final = 60  # seconds; Envoy's default


def _provider(weak: Weak) -> Weak:
    return in_each("providers", weak=weak)


def _anywhere(provider: Node) -> Iterator[Node]:
    if not any(provider.get(name).data for name in ("from_headers", "from_params", "from_cookies")):
        yield provider.get("from_headers")


def _for_ever(provider: Node) -> Iterator[Node]:
    if not provider.get("require_expiration").true and not provider.get("max_lifetime").written:
        yield provider.get("require_expiration")


def _plain_keys(provider: Node) -> Iterator[Node]:
    uri = provider.get("remote_jwks", "http_uri", "uri")
    parts = urlsplit(uri.text)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield uri


def _named(*names: str) -> Weak:
    """A requirement, however deep in `requires_any` and `requires_all`."""
    return lambda jwt: (
        node
        for block in ("rules", "requirement_map", "filter_state_rules")
        for node in jwt.get(block).inside()
        if node.path[-1:] and node.path[-1] in names
    )


def _not_everywhere(jwt: Node) -> Iterator[Node]:
    """Rules are looked at in their order, and a path that none of them matches is not asked for a token."""
    rules = list(jwt.get("rules").each())
    if not any(rule.get("match", "prefix").text == "/" and not rule.get("match", "headers").data for rule in rules):
        yield jwt.get("rules")


def _required_of_nobody(jwt: Node) -> Iterator[Node]:
    for rule in jwt.get("rules").each():
        if not rule.get("requires").written and not rule.get("requirement_name").written:
            yield rule


def _without_rbac(manager: Node) -> Iterator[Node]:
    used = [item.get("typed_config") for item in manager.get("http_filters").each()]
    if not any(config.kind == RBAC for config in used):
        yield from (config for config in used if config.kind == JWT)


RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX601", Severity.MEDIUM,
        "A token is taken from the query parameter access_token too, where logs and histories keep it.",
        'Set from_headers: [{name: authorization, value_prefix: "Bearer "}].',
        "https://www.rfc-editor.org/rfc/rfc9700#section-4.3.2", of(JWT, _provider(_anywhere)),
    ),
    Rule(
        "EX602", Severity.MEDIUM,
        "A token without an end is good for ever.",
        "Set require_expiration: true, or max_lifetime.",
        PROTO, of(JWT, _provider(_for_ever)),
    ),
    Rule(
        "EX603", Severity.MEDIUM,
        "A token that was made for another service is good here.",
        "Set audiences.",
        BEST_PRACTICE + "#section-3.9", of(JWT, _provider(unless_written("audiences"))),
    ),
    Rule(
        "EX604", Severity.MEDIUM,
        "Who made a token is not looked at: only whether one of the keys has signed it.",
        "Set issuer.",
        BEST_PRACTICE + "#section-3.8", of(JWT, _provider(unless_written("issuer"))),
    ),
    Rule(
        "EX605", Severity.LOW,
        "The upstream, and whatever logs it writes, get the caller's token.",
        "Leave forward out, and send what the upstream needs in claim_to_headers.",
        PROTO, of(JWT, _provider(if_true("forward"))),
    ),
    Rule(
        "EX606", Severity.HIGH,
        "A request whose token is not valid is let through as if it had none.",
        "Use allow_missing at most, and let RBAC demand the claims where they are needed.",
        PROTO, of(JWT, _named("allow_missing_or_failed", "extract_only_without_validation")),
    ),
    Rule(
        "EX607", Severity.LOW,
        "A request without a token is let through.",
        "Leave allow_missing out, unless RBAC demands the claims where they are needed.",
        PROTO, of(JWT, _named("allow_missing")),
    ),
    Rule(
        "EX608", Severity.LOW,
        "An expired token is good for longer than a clock is wrong.",
        "Leave clock_skew_seconds at its default (60) or below.",
        PROTO, of(JWT, _provider(if_over("clock_skew_seconds", limit=MAX_SKEW))),
    ),
    Rule(
        "EX609", Severity.MEDIUM,
        "The keys come over a wire that anybody on it can write to.",
        "Fetch them from an https URL, by a cluster with TLS.",
        BEST_PRACTICE, of(JWT, _provider(_plain_keys)),
    ),
    Rule(
        "EX610", Severity.LOW,
        "A path that no rule matches, or a rule that requires nothing, is not asked for a token.",
        "End the rules with {match: {prefix: /}, requires: ...}, and write open paths before it.",
        PROTO, of(JWT, any_of(_not_everywhere, _required_of_nobody)),
    ),
    Rule(
        "EX611", Severity.LOW,
        "A route that loses its requirement is open: nothing behind jwt_authn refuses by default.",
        "Add an RBAC filter that allows nobody, and allow on each route.",
        DOCS + "configuration/http/http_filters/rbac_filter", of(MANAGER, _without_rbac),
    ),
)  # fmt: skip
