"""What a client may send, and for how long: the connection manager (EX2xx)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.audit.envoy import CHECKS, EXT_PROC, MANAGER, RATELIMIT, Envoy, mode_of
from extproc.audit.node import Node
from extproc.audit.places import (
    any_of,
    if_for_ever,
    if_one_of,
    if_over,
    if_true,
    in_each,
    of,
    unless_one_of,
    unless_timed,
    unless_true,
    unless_within,
    unless_written,
)
from extproc.audit.routes import sites
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

DOCS: Final = "https://www.envoyproxy.io/docs/envoy/latest/"
EDGE: Final = DOCS + "configuration/best_practices/edge"
HCM: Final = DOCS + "api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto"
PROTOCOL: Final = DOCS + "api-v3/config/core/v3/protocol.proto"
HEADERS: Final = DOCS + "configuration/http/http_conn_man/headers"

COMMON: Final = "common_http_protocol_options"
HTTP2: Final = "http2_protocol_options"
WRITABLE: Final = 0o002  # by others than its owner and group
MAX_HEADERS: Final = 100  # Envoy's default
MAX_HEADER_KIB: Final = 60  # Envoy's default
MAX_STREAMS: Final = 100  # these three: edge best practice
MAX_STREAM_WINDOW: Final = 64 * 1024
MAX_CONNECTION_WINDOW: Final = 1024 * 1024


def _trusts_by_default(manager: Node) -> Iterator[Node]:
    """An empty message trusts loopback, and by the older default private networks too; /0 trusts everybody."""
    config = manager.get("internal_address_config")
    ranges = list(config.get("cidr_ranges").each())
    if config.written and not ranges:
        yield config
    yield from (one for one in ranges if not one.get("prefix_len").number)


def _not_over_http2(manager: Node) -> bool:
    return manager.get("codec_type").text in ("HTTP1", "1")


def _wide_http2(manager: Node) -> Iterator[Node]:
    if _not_over_http2(manager):
        return
    limits = (
        ("max_concurrent_streams", MAX_STREAMS),
        ("initial_stream_window_size", MAX_STREAM_WINDOW),
        ("initial_connection_window_size", MAX_CONNECTION_WINDOW),
    )
    for name, limit in limits:
        yield from unless_within(HTTP2, name, limit=limit)(manager)


def _keeps_forged_headers(manager: Node) -> Iterator[Node]:
    kinds = {item.get("typed_config").kind for item in manager.get("http_filters").each()}
    if kinds & (CHECKS | {EXT_PROC, RATELIMIT}):
        yield from unless_written("early_header_mutation_extensions")(manager)


def _may_be_missing(manager: Node) -> Iterator[Node]:
    for item in manager.get("http_filters").each():
        if item.get("typed_config").kind in CHECKS | {RATELIMIT}:
            yield from if_true("is_optional")(item)


def _off_unless_asked_for(manager: Node) -> Iterator[Node]:
    for item in manager.get("http_filters").each():
        if item.get("typed_config").kind in CHECKS:
            yield from if_true("disabled")(item)


def _connect(manager: Node) -> Iterator[Node]:
    for item in manager.get("upgrade_configs").each():
        if item.get("upgrade_type").text.upper() == "CONNECT":
            yield item


def _endless_routes(envoy: Envoy) -> Iterator[Node]:
    for site in sites(envoy):
        yield from if_for_ever("route", "idle_timeout")(site.route)


def _open_sockets(envoy: Envoy) -> Iterator[Node]:
    for listener in envoy.listeners:
        if (mode_of(listener) or 0) & WRITABLE:
            yield listener.get("address", "pipe", "mode")


RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX201", Severity.HIGH,
        "A client's own x-forwarded-for and x-envoy-* headers are believed, so it chooses its address.",
        "Set use_remote_address: true, and xff_num_trusted_hops to the number of proxies in front.",
        EDGE, of(MANAGER, unless_true("use_remote_address")),
    ),
    Rule(
        "EX202", Severity.HIGH,
        "Checks and upstream may read a path with .. or %2e differently, so a guarded path is reached by another name.",
        "Set normalize_path: true.",
        "https://nvd.nist.gov/vuln/detail/CVE-2019-9901", of(MANAGER, unless_true("normalize_path")),
    ),
    Rule(
        "EX203", Severity.MEDIUM,
        "A path with // matches no rule for the path with one slash, and most upstreams serve both alike.",
        "Set merge_slashes: true.",
        EDGE, of(MANAGER, unless_true("merge_slashes")),
    ),
    Rule(
        "EX204", Severity.MEDIUM,
        "%2F and %5C in a path reach the upstream as they are, where they may be slashes that no rule saw.",
        "Set path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT, or REJECT_REQUEST.",
        "https://nvd.nist.gov/vuln/detail/CVE-2021-29492",
        of(MANAGER, unless_one_of("path_with_escaped_slashes_action",
                                  values=("REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "2", "3"))),
    ),
    Rule(
        "EX205", Severity.MEDIUM,
        "A header x_user_id passes the rules for x-user-id, and is the same to upstreams that read CGI names.",
        "Set common_http_protocol_options.headers_with_underscores_action: REJECT_REQUEST.",
        PROTOCOL, of(MANAGER, unless_one_of(COMMON, "headers_with_underscores_action",
                                            values=("REJECT_REQUEST", "DROP_HEADER", "1", "2"))),
    ),
    Rule(
        "EX206", Severity.LOW,
        "A host with a port is another host to virtual hosts and rules that name it without.",
        "Set strip_any_host_port: true.",
        HCM, of(MANAGER, lambda manager: () if manager.get("strip_matching_host_port").true
                else unless_true("strip_any_host_port")(manager)),
    ),
    Rule(
        "EX207", Severity.LOW,
        "A host with a dot at its end is another host to virtual hosts and rules that name it without.",
        "Set strip_trailing_host_dot: true.",
        HCM, of(MANAGER, unless_true("strip_trailing_host_dot")),
    ),
    Rule(
        "EX208", Severity.HIGH,
        "A client's own x-forwarded-client-cert is passed on, and names whatever certificate it likes.",
        "Set forward_client_cert_details: SANITIZE, or SANITIZE_SET.",
        HEADERS + "#x-forwarded-client-cert",
        of(MANAGER, if_one_of("forward_client_cert_details", values=(
            "FORWARD_ONLY", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY", "1", "2", "4"))),
    ),
    Rule(
        "EX209", Severity.HIGH,
        "An internal_address_config without ranges takes loopback and private peers for internal, and their "
        "x-envoy-original-path and other x-envoy-* headers reach the checks.",
        "Leave internal_address_config out, or name the networks in cidr_ranges.",
        "https://nvd.nist.gov/vuln/detail/CVE-2024-45806", of(MANAGER, _trusts_by_default),
    ),
    Rule(
        "EX210", Severity.LOW,
        "A client chooses its request's id, and so what logs and traces call it.",
        "Leave preserve_external_request_id out.",
        HEADERS + "#x-request-id", of(MANAGER, if_true("preserve_external_request_id")),
    ),
    Rule(
        "EX211", Severity.MEDIUM,
        "A request that never ends holds its connection and whatever waits for its body: there is no limit by default.",
        "Set request_timeout, to 300s or less.",
        EDGE, of(MANAGER, unless_timed("request_timeout")),
    ),
    Rule(
        "EX212", Severity.MEDIUM,
        "A client may take for ever to send its headers: there is no limit by default.",
        "Set request_headers_timeout, to 10s or so.",
        HCM, of(MANAGER, unless_timed("request_headers_timeout")),
    ),
    Rule(
        "EX213", Severity.MEDIUM,
        "A connection or a stream on which nothing happens is never closed.",
        "Leave stream_idle_timeout and idle_timeout at their defaults, or set them; streams may have an hour.",
        EDGE, lambda envoy: (
            *of(MANAGER, any_of(if_for_ever("stream_idle_timeout"), if_for_ever(COMMON, "idle_timeout")))(envoy),
            *_endless_routes(envoy),
        ),
    ),
    Rule(
        "EX214", Severity.LOW,
        "Header sections larger than Envoy's own limits cost memory for each request of whoever sends them.",
        "Leave max_request_headers_kb (60) and max_headers_count (100) at their defaults.",
        HCM, of(MANAGER, any_of(if_over("max_request_headers_kb", limit=MAX_HEADER_KIB),
                                if_over(COMMON, "max_headers_count", limit=MAX_HEADERS))),
    ),
    Rule(
        "EX215", Severity.LOW,
        "One HTTP/2 connection may hold many streams, and megabytes for each.",
        "In http2_protocol_options set max_concurrent_streams: 100, initial_stream_window_size: 65536 and "
        "initial_connection_window_size: 1048576.",
        EDGE, of(MANAGER, _wide_http2),
    ),
    Rule(
        "EX216", Severity.LOW,
        "Headers that only proxies should write, as x-forwarded-host, x-original-url and those that the check sets, "
        "reach the checks and the upstream as clients forge them.",
        "Remove them in early_header_mutation_extensions, which run before a route is chosen.",
        HCM, of(MANAGER, _keeps_forged_headers),
    ),
    Rule(
        "EX217", Severity.LOW,
        "Whoever reaches the listener other than through the trusted proxies writes its own address.",
        "Let only those proxies reach the listener.",
        HEADERS + "#x-forwarded-for", of(MANAGER, if_over("xff_num_trusted_hops", limit=0)),
    ),
    Rule(
        "EX218", Severity.HIGH,
        "A request with both Content-Length and Transfer-Encoding is taken, which is how requests are smuggled.",
        "Leave http_protocol_options.allow_chunked_length out.",
        "https://www.rfc-editor.org/rfc/rfc9112#section-6.3",
        of(MANAGER, if_true("http_protocol_options", "allow_chunked_length")),
    ),
    Rule(
        "EX219", Severity.MEDIUM,
        "A CONNECT opens a tunnel in which no filter sees a request, and early data behind it was let through.",
        "Leave CONNECT out of upgrade_configs.",
        "https://nvd.nist.gov/vuln/detail/CVE-2025-64763",
        of(MANAGER, any_of(_connect, in_each("route_config", "virtual_hosts", weak=in_each("routes", weak=in_each(
            "route", "upgrade_configs", weak=lambda item: (item,) if item.get("connect_config").written else ()))))),
    ),
    Rule(
        "EX220", Severity.MEDIUM,
        "An optional filter that Envoy does not know is left out without a word, and with it the check.",
        "Leave is_optional out.",
        HCM, of(MANAGER, _may_be_missing),
    ),
    Rule(
        "EX221", Severity.MEDIUM,
        "The check is off unless a route asks for it, so a route that forgets is open.",
        "Leave disabled out of the filter, and disable it on the routes that are meant to be open.",
        HCM, of(MANAGER, _off_unless_asked_for),
    ),
    Rule(
        "EX222", Severity.LOW,
        "Nobody can tell afterwards who asked for what.",
        "Write an access_log.",
        DOCS + "configuration/observability/access_log/usage", of(MANAGER, unless_written("access_log")),
    ),
    Rule(
        "EX223", Severity.HIGH,
        "Every user of the machine may write to this listener's socket, and reach what is behind it.",
        "Set a mode for its owner and group alone, as 432 (0660).",
        DOCS + "api-v3/config/core/v3/address.proto", _open_sockets,
    ),
)  # fmt: skip
