"""Who may: ext_authz and RBAC (EX3xx)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.audit.edge_rules import DOCS
from extproc.audit.envoy import EXT_AUTHZ, EXT_AUTHZ_ROUTE, MANAGER, RBAC, Envoy
from extproc.audit.node import Node
from extproc.audit.places import any_of, if_for_ever, if_one_of, if_true, of, unless_true, unless_written
from extproc.audit.routes import Site, sites
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

PROTO: Final = DOCS + "api-v3/extensions/filters/http/ext_authz/v3/ext_authz.proto"
RBAC_PROTO: Final = DOCS + "api-v3/extensions/filters/http/rbac/v3/rbac.proto"
GRPC_RECEIVES: Final = 4 * 1024 * 1024  # what a gRPC server takes in one message unless it is told otherwise
RULES_OF_HEADERS: Final = "decoder_header_mutation_rules"


def _whole(authz: Node) -> bool:
    """Asked over gRPC, where several values of a header are one text unless the raw form is asked for."""
    return authz.get("grpc_service").written


def _loose_mutations(authz: Node) -> Iterator[Node]:
    rules = authz.get(RULES_OF_HEADERS)
    if not rules.written:
        yield rules
    yield from any_of(if_true("allow_all_routing"), if_true("allow_envoy"))(rules)


def _runtime_switch(authz: Node) -> Iterator[Node]:
    if authz.get("filter_enabled").written and not authz.get("deny_at_disable", "default_value").true:
        yield authz.get("filter_enabled")


def _bodies(weak: str) -> tuple[tuple[str, ...], ...]:
    """Where the filter, or a route in its place, says what of the body is shown."""
    return (("with_request_body", weak), ("check_settings", "with_request_body", weak))


def _large_bodies(envoy: Envoy) -> Iterator[Node]:
    for kind, path in zip((EXT_AUTHZ, EXT_AUTHZ_ROUTE), _bodies("max_request_bytes"), strict=True):
        yield from (node.get(*path) for node in envoy.of(kind) if (node.get(*path).number or 0) >= GRPC_RECEIVES)


def _partial_bodies(envoy: Envoy) -> Iterator[Node]:
    for kind, path in zip((EXT_AUTHZ, EXT_AUTHZ_ROUTE), _bodies("allow_partial_message"), strict=True):
        yield from of(kind, if_true(*path))(envoy)


def _is_guarded(site: Site) -> bool:
    return site.reaches_upstream and site.unchecked() is None


def _is_open(site: Site) -> bool:
    return site.reaches_upstream and site.unchecked() is not None


def _open_by_choice(envoy: Envoy) -> Iterator[Node]:
    """A route that no check guards, chosen by what a client writes, in a host where others are guarded."""
    every = list(sites(envoy))
    guarded = {site.host.path for site in every if _is_guarded(site)}
    for site in every:
        if site.host.path in guarded and _is_open(site) and site.chosen_by_client:
            yield site.chosen_by_client


def _selected_again(envoy: Envoy) -> Iterator[Node]:
    """clear_route_cache, where the route that is then found may be one without a check."""
    open_to_choice = {
        site.manager.path for site in sites(envoy) if site.manager and site.chosen_by_client and _is_open(site)
    }
    for manager in envoy.of(MANAGER):
        for item in manager.get("http_filters").each():
            if item.get("typed_config").kind == EXT_AUTHZ and manager.path in open_to_choice:
                yield from if_true("clear_route_cache")(item.get("typed_config").message)


def _open_routes(envoy: Envoy) -> Iterator[Node]:
    return (said for site in sites(envoy) if site.reaches_upstream for said in (site.unchecked(),) if said)


def _enforces_nothing(rbac: Node) -> Iterator[Node]:
    shadow = rbac.get("shadow_rules").written or rbac.get("shadow_matcher").written
    if shadow and not (rbac.get("rules").written or rbac.get("matcher").written):
        yield rbac
    yield from if_one_of("rules", "action", values=("LOG", "2"))(rbac)


def _contains(rbac: Node) -> Iterator[Node]:
    for node in rbac.get("rules").inside():
        if node.path[-1:] == ("contains",):
            yield node


RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX301", Severity.HIGH,
        "When the authorization service does not answer, every request is let through.",
        "Leave failure_mode_allow out.",
        PROTO, of(EXT_AUTHZ, if_true("failure_mode_allow")),
    ),
    Rule(
        "EX302", Severity.LOW,
        "How long a request waits for the decision is Envoy's default (200 ms), which nobody sees here.",
        "Set grpc_service.timeout.",
        PROTO, of(EXT_AUTHZ, lambda authz: unless_written("timeout")(authz.get("grpc_service")) if _whole(authz)
                  else ()),
    ),
    Rule(
        "EX303", Severity.MEDIUM,
        "A request waits for ever for a service that does not answer.",
        "Set grpc_service.timeout, or http_service.server_uri.timeout, to what a client would wait.",
        PROTO, of(EXT_AUTHZ, any_of(if_for_ever("grpc_service", "timeout"),
                                    if_for_ever("http_service", "server_uri", "timeout"))),
    ),
    Rule(
        "EX304", Severity.LOW,
        "An outage of the authorization service is 403, which clients take for a refusal and operators do not see.",
        "Set status_on_error: {code: ServiceUnavailable}.",
        PROTO, of(EXT_AUTHZ, unless_written("status_on_error")),
    ),
    Rule(
        "EX305", Severity.MEDIUM,
        "Several headers of one name are shown to the check as one text, and bytes that are no UTF-8 as others.",
        "Set encode_raw_headers: true, and read header_map.",
        "https://nvd.nist.gov/vuln/detail/CVE-2021-32777",
        of(EXT_AUTHZ, lambda authz: unless_true("encode_raw_headers")(authz) if _whole(authz) else ()),
    ),
    Rule(
        "EX306", Severity.MEDIUM,
        "A header that the authorization service sets is not looked at: with a line break in it, it is two.",
        "Set validate_mutations: true.",
        PROTO, of(EXT_AUTHZ, unless_true("validate_mutations")),
    ),
    Rule(
        "EX307", Severity.MEDIUM,
        "The authorization service may change :path, host and x-envoy-* headers, and so where a request goes after it.",
        "Set decoder_header_mutation_rules with disallow_system and disallow_is_error, and without allow_all_routing "
        "and allow_envoy.",
        PROTO, of(EXT_AUTHZ, _loose_mutations),
    ),
    Rule(
        "EX308", Severity.HIGH,
        "A runtime value switches the check off for some or all requests, and they are let through.",
        "Leave filter_enabled out, or set deny_at_disable: {default_value: true}.",
        PROTO, of(EXT_AUTHZ, _runtime_switch),
    ),
    Rule(
        "EX309", Severity.LOW,
        "A refusal's body may be of any size.",
        "Set max_denied_response_body_bytes, to 64 KiB or so.",
        PROTO, of(EXT_AUTHZ, lambda authz: () if authz.get("max_denied_response_body_bytes").number
                  else (authz.get("max_denied_response_body_bytes"),)),
    ),
    Rule(
        "EX310", Severity.MEDIUM,
        "The check sees the beginning of a large body only, and the upstream gets all of it.",
        "Leave allow_partial_message out, or refuse what has x-envoy-auth-partial-body: true.",
        PROTO, _partial_bodies,
    ),
    Rule(
        "EX311", Severity.MEDIUM,
        "A body of 4 MiB is more than a gRPC server takes by default: such requests fail as an outage does.",
        "Set max_request_bytes well below 4 MiB, or raise the server's limit.",
        PROTO, _large_bodies,
    ),
    Rule(
        "EX312", Severity.HIGH,
        "After the check the route is looked up again, and a header that it set leads to a route without a check.",
        "Leave clear_route_cache out, or let no route with ext_authz disabled match on headers.",
        "https://github.com/envoyproxy/envoy/pull/40236", _selected_again,
    ),
    Rule(
        "EX313", Severity.HIGH,
        "A client that sends this header or parameter gets a route on which nobody is asked.",
        "Match routes with ext_authz disabled by path, host and method alone.",
        "https://github.com/envoyproxy/envoy/pull/40236", _open_by_choice,
    ),
    Rule(
        "EX314", Severity.LOW,
        "On this route nobody is asked.",
        "Remove it from typed_per_filter_config, unless the route is meant to be open.",
        DOCS + "configuration/http/http_filters/ext_authz_filter", _open_routes,
    ),
    Rule(
        "EX315", Severity.HIGH,
        "In shadow mode refusals are counted and not made.",
        "Leave shadow_mode out.",
        PROTO, of(EXT_AUTHZ, if_true("shadow_mode")),
    ),
    Rule(
        "EX321", Severity.HIGH,
        "RBAC with shadow rules alone, or with the action LOG, refuses nobody.",
        "Write the rules under rules, with the action ALLOW.",
        RBAC_PROTO, of(RBAC, _enforces_nothing),
    ),
    Rule(
        "EX322", Severity.MEDIUM,
        "A text that contains another is not that other: orders:read is in orders:read-none.",
        "Match with exact; split scopes by jwt_authn's space_delimited_claims, and match an entry of the list.",
        RBAC_PROTO, of(RBAC, _contains),
    ),
    Rule(
        "EX323", Severity.MEDIUM,
        "The filter's own word that the check may be skipped reaches upstreams, and clients can forge it.",
        "Leave failure_mode_allow_header_add out.",
        PROTO, of(EXT_AUTHZ, if_true("failure_mode_allow_header_add")),
    ),
)  # fmt: skip
