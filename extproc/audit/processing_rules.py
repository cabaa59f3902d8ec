"""What is seen and changed on the way: ext_proc (EX5xx)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from extproc.audit.edge_rules import DOCS
from extproc.audit.envoy import CHECKS, EXT_PROC, EXT_PROC_ROUTE, MANAGER, Envoy
from extproc.audit.node import Node
from extproc.audit.places import Weak, any_of, if_one_of, if_true, of, unless_written
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

PROTO: Final = DOCS + "api-v3/extensions/filters/http/ext_proc/v3/ext_proc.proto"
MODES: Final = DOCS + "api-v3/extensions/filters/http/ext_proc/v3/processing_mode.proto"
SERVICE: Final = DOCS + "api-v3/service/ext_proc/v3/external_processor.proto"
ROUTING: Final = ("host", ":authority", ":scheme")
PARTIAL: Final = ("BUFFERED_PARTIAL", "3")


def _deciding(weak: Weak) -> Weak:
    """In observability mode its answers change nothing."""
    return lambda proc: () if proc.get("observability_mode").true else weak(proc)


def _partial(node: Node, *path: str) -> Iterator[Node]:
    for name in ("request_body_mode", "response_body_mode"):
        yield from if_one_of(*path, name, values=PARTIAL)(node)


def _half_seen(envoy: Envoy) -> Iterator[Node]:
    for proc in envoy.of(EXT_PROC):
        if not proc.get("observability_mode").true:
            yield from _partial(proc, "processing_mode")
        for mode in proc.get("allowed_override_modes").each():
            yield from _partial(mode)
    for route in envoy.of(EXT_PROC_ROUTE):
        yield from _partial(route, "overrides", "processing_mode")


def _any_override(proc: Node) -> Iterator[Node]:
    if not proc.get("allowed_override_modes").data:
        yield from if_true("allow_mode_override")(proc)


def _alone(manager: Node) -> Iterator[Node]:
    """The only one that sees requests. A stream that is closed cleanly means "go on" (external_processor.proto)."""
    used = [item.get("typed_config") for item in manager.get("http_filters").each()]
    if any(config.kind in CHECKS for config in used):
        return
    for config in used:
        mode = config.message.get("processing_mode", "request_header_mode").text
        if config.kind == EXT_PROC and mode not in ("SKIP", "2") and not config.message.get("observability_mode").true:
            yield config


def _routing(proc: Node) -> Iterator[Node]:
    """The method alone may be set where an expression takes host and scheme out again: all three at once are none."""
    written = proc.get("mutation_rules", "disallow_expression", "regex").text
    with suppress(re.error):
        if written and all(re.fullmatch(written, name) for name in ROUTING):
            return
    yield from if_true("mutation_rules", "allow_all_routing")(proc)


RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX501", Severity.HIGH,
        "When the processor does not answer, requests and answers pass unseen.",
        "Leave failure_mode_allow out, on routes as well.",
        PROTO, lambda envoy: (*of(EXT_PROC, _deciding(if_true("failure_mode_allow")))(envoy),
                              *of(EXT_PROC_ROUTE, if_true("overrides", "failure_mode_allow"))(envoy)),
    ),
    Rule(
        "EX502", Severity.LOW,
        "How long a message waits for its answer is Envoy's default (200 ms), which nobody sees here.",
        "Set message_timeout.",
        PROTO, of(EXT_PROC, _deciding(unless_written("message_timeout"))),
    ),
    Rule(
        "EX503", Severity.HIGH,
        "Of a body over the buffer's limit the processor sees the beginning only, and the rest passes unseen.",
        "Use BUFFERED, which refuses larger bodies, or FULL_DUPLEX_STREAMED.",
        MODES, _half_seen,
    ),
    Rule(
        "EX504", Severity.MEDIUM,
        "An answer of the processor may switch off what it sees of a request, to any mode.",
        "List the modes in allowed_override_modes, or leave allow_mode_override out.",
        PROTO, of(EXT_PROC, _any_override),
    ),
    Rule(
        "EX505", Severity.MEDIUM,
        "The processor may change host, :method, :scheme or x-envoy-* headers, which the checks have seen already.",
        "Leave allow_all_routing and allow_envoy out of mutation_rules, or let disallow_expression match host, "
        ":authority and :scheme.",
        DOCS + "api-v3/config/common/mutation_rules/v3/mutation_rules.proto",
        of(EXT_PROC, any_of(_routing, if_true("mutation_rules", "allow_envoy"))),
    ),
    Rule(
        "EX506", Severity.MEDIUM,
        "The processor may set a content-length that is not the body's, which is how messages are smuggled.",
        "Leave allow_content_length_header out.",
        "https://www.rfc-editor.org/rfc/rfc9112#section-11.2", of(EXT_PROC, if_true("allow_content_length_header")),
    ),
    Rule(
        "EX507", Severity.LOW,
        "A processor that closes its stream cleanly lets the request pass: it must not be the only one that decides.",
        "Authorize in ext_authz, jwt_authn or RBAC.",
        SERVICE, of(MANAGER, _alone),
    ),
    Rule(
        "EX508", Severity.LOW,
        "An outage of the processor is 500 or 504, which look like the upstream's.",
        "Set status_on_error: {code: ServiceUnavailable}.",
        PROTO, of(EXT_PROC, _deciding(unless_written("status_on_error"))),
    ),
)  # fmt: skip
