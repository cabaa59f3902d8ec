"""What a gateway file gives away (EX1xx). Keys are read as they are written, whoever will read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from extproc.audit.envoy import is_loopback
from extproc.audit.gateway import FromEnvironment, Gateway
from extproc.audit.node import Node
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity
from extproc.config.settings import parse_duration, parse_size

KEYS: Final = "https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge"
TOP_TEN: Final = "https://owasp.org/API-Security/editions/2023/en/"
UNRESTRICTED: Final = TOP_TEN + "0xa4-unrestricted-resource-consumption/"
CONSUMPTION: Final = TOP_TEN + "0xa10-unsafe-consumption-of-apis/"
AUTHENTICATION: Final = TOP_TEN + "0xa2-broken-authentication/"
FUNCTION: Final = TOP_TEN + "0xa5-broken-function-level-authorization/"
MISCONFIGURED: Final = TOP_TEN + "0xa8-security-misconfiguration/"

LARGE_BODY: Final = 16 * 1024 * 1024  # Envoy holds it: sixty-four of them fill the GiB at which it sheds requests
LONG: Final = 300.0  # seconds: edge best practice for a stream on which nothing happens
LONG_DECISION: Final = 5.0  # seconds that a client waits for a sidecar that hangs
MAX_LEEWAY: Final = 60  # seconds; more is refused
SECRET: Final = re.compile(r"(.*_)?(secret|password|passphrase|private_key|client_assertion)")
A_FILE: Final = re.compile(r"(/|\.|file:).*|.*\.(pem|key|txt|ya?ml|json)")
IN_A_URL: Final = re.compile(r"[a-z+]+://[^/@:]*:[^/@]+@.*")
ALWAYS: Final = re.compile(r"\(*\s*(true|!\s*false)\s*\)*")


def _host(address: Node) -> str:
    return address.text.rpartition(":")[0].strip("[]")


def _size(node: Node) -> int:
    try:
        return parse_size(node.data)
    except ValueError:
        return 0


def _time(node: Node) -> float:
    try:
        return parse_duration(node.data).total_seconds()
    except ValueError:
        return 0.0


def _public_unlimited(gateway: Gateway) -> Iterator[Node]:
    for route in gateway.routes():
        if gateway.is_public(route) and not gateway.is_limited(route):
            yield route.get("limits") if route.get("limits").written else route


def _public(gateway: Gateway) -> Iterator[Node]:
    for route in gateway.routes():
        if gateway.is_public(route) and gateway.is_limited(route):
            yield route.get("authenticate") if route.get("authenticate").written else route


def _unlimited(gateway: Gateway, *, stream: bool) -> Iterator[Node]:
    for route in gateway.routes():
        if not gateway.is_public(route) and not gateway.is_limited(route) and route.get("stream").true is stream:
            yield route.get("stream") if stream else route


def _plain_listeners(gateway: Gateway) -> Iterator[Node]:
    for listener in gateway.listeners():
        if not is_loopback(_host(listener.get("address"))) and not listener.get("tls").written:
            yield listener.get("address")


def _open_admin(gateway: Gateway) -> Iterator[Node]:
    admin = gateway.root.get("sidecar", "admin")
    if admin.written and not is_loopback(_host(admin)):
        yield admin


def _hops(gateway: Gateway) -> Iterator[Node]:
    for listener in gateway.listeners():
        hops = listener.get("trusted_proxies", "hops")
        if (hops.number or 0) > 0:
            yield hops


def _blocks(gateway: Gateway) -> Iterator[Node]:
    yield gateway.root.get("defaults")
    yield from gateway.root.get("routes").each()


def _large_bodies(gateway: Gateway) -> Iterator[Node]:
    return (block.get("body_limit") for block in _blocks(gateway) if _size(block.get("body_limit")) > LARGE_BODY)


def _long_times(gateway: Gateway) -> Iterator[Node]:
    for block in (*_blocks(gateway), *gateway.upstreams()):
        if _time(block.get("timeout")) > LONG:
            yield block.get("timeout")


def _long_decisions(gateway: Gateway) -> Iterator[Node]:
    timeout = gateway.root.get("sidecar", "timeout")
    if _time(timeout) > LONG_DECISION:
        yield timeout


def _credentials_in_queries(gateway: Gateway) -> Iterator[Node]:
    for _, settings in gateway.methods():
        if settings.get("query").data:
            yield settings.get("query")


def _forwarded(gateway: Gateway) -> Iterator[Node]:
    for node in gateway.root.inside():
        if node.path[-1:] == ("forward_credentials",) and (node.true or (isinstance(node.data, list) and node.data)):
            yield node


def _optional_certificates(gateway: Gateway) -> Iterator[Node]:
    for listener in gateway.listeners():
        tls = listener.get("tls")
        demanded = any(name.startswith("require") and item.true for name, item in tls.members())
        if tls.get("client_ca").written and not demanded:
            yield tls.get("client_ca")


def _wide_leeway(gateway: Gateway) -> Iterator[Node]:
    for _, settings in gateway.methods():
        if (settings.get("leeway").number or _time(settings.get("leeway"))) >= MAX_LEEWAY:
            yield settings.get("leeway")


def _plain_upstreams(gateway: Gateway) -> Iterator[Node]:
    for upstream in gateway.upstreams():
        if not upstream.get("tls").written:
            yield from (one for one in upstream.get("endpoints").each() if not is_loopback(_host(one)))


def _any_name(gateway: Gateway) -> Iterator[Node]:
    for upstream in gateway.upstreams():
        tls = upstream.get("tls")
        if tls.written and tls.data is not False and not any(tls.get(name).data for name in ("san", "sans", "name")):
            yield tls


def _always_true(gateway: Gateway) -> Iterator[Node]:
    for route in gateway.root.get("routes").each():
        authorize = route.get("authorize")
        if authorize.data is True or ALWAYS.fullmatch(authorize.text.strip()):
            yield authorize


def _unwatched(gateway: Gateway) -> Iterator[Node]:
    for upstream in gateway.upstreams():
        several = len(list(upstream.get("endpoints").each())) > 1
        if several and not upstream.get("health_check").written and not upstream.get("outlier_detection").true:
            yield upstream


def _secrets(gateway: Gateway) -> Iterator[Node]:
    """Texts that stand in the file itself. A path is the name of a file that holds one."""
    for node in gateway.root.inside():
        if not isinstance(node.data, str) or isinstance(node.data, FromEnvironment) or not node.path:
            continue
        named = SECRET.fullmatch(str(node.path[-1])) and not A_FILE.fullmatch(node.data)
        if named or IN_A_URL.fullmatch(node.data):
            yield node


RULES: Final[tuple[Rule[Gateway], ...]] = (
    Rule(
        "EX101", Severity.MEDIUM,
        "Anybody may call this route, as often as they like.",
        "Write limits, per address or for the route; or authenticate.",
        UNRESTRICTED, _public_unlimited,
    ),
    Rule(
        "EX102", Severity.LOW,
        "Anybody may call this route.",
        "Authenticate, unless the route is meant for everybody.",
        AUTHENTICATION, _public,
    ),
    Rule(
        "EX103", Severity.LOW,
        "A consumer may call this route as often as it likes.",
        "Write limits: [tier], or a limit of the route's own.",
        UNRESTRICTED, lambda gateway: _unlimited(gateway, stream=False),
    ),
    Rule(
        "EX104", Severity.MEDIUM,
        "A consumer may open streams as often as it likes, and each of them has no timeout.",
        "Write limits for the route.",
        UNRESTRICTED, lambda gateway: _unlimited(gateway, stream=True),
    ),
    Rule(
        "EX105", Severity.MEDIUM,
        "Requests and credentials travel in plain text to an address that others reach.",
        "Give the listener tls, or let something in front end TLS and listen where only that reaches.",
        MISCONFIGURED, _plain_listeners,
    ),
    Rule(
        "EX106", Severity.MEDIUM,
        "Metrics and health are there for whoever reaches this address, and the rest for whoever has the admin token.",
        "Bind sidecar.admin to 127.0.0.1, or keep the address behind a network rule and set EXTPROC_ADMIN_TOKEN.",
        MISCONFIGURED, _open_admin,
    ),
    Rule(
        "EX107", Severity.LOW,
        "Whoever reaches this listener other than through its proxies writes its own address, and so evades limits per "
        "address.",
        "Let only the proxies reach the listener.",
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-for", _hops,
    ),
    Rule(
        "EX108", Severity.MEDIUM,
        "Envoy holds every body until it is complete: a few such requests at once fill its memory.",
        "Lower body_limit to what the route needs, and send large uploads elsewhere.",
        UNRESTRICTED, _large_bodies,
    ),
    Rule(
        "EX109", Severity.LOW,
        "A slow upstream holds a request, its connection and its body for many minutes.",
        "Lower timeout to what a client would wait, or make the route a stream.",
        KEYS, _long_times,
    ),
    Rule(
        "EX110", Severity.LOW,
        "Where the sidecar hangs, every request waits that long before it is refused.",
        "Lower sidecar.timeout, to a second or less.",
        KEYS, _long_decisions,
    ),
    Rule(
        "EX111", Severity.MEDIUM,
        "A credential in a query is kept by histories, referrers and the logs of whatever stands in between.",
        "Take it from a header, and leave query out.",
        "https://www.rfc-editor.org/rfc/rfc9700#section-4.3.2", _credentials_in_queries,
    ),
    Rule(
        "EX112", Severity.MEDIUM,
        "The upstream gets the caller's credential, and can be the caller elsewhere.",
        "Leave forward_credentials out: x-consumer-id says who is asking.",
        CONSUMPTION, _forwarded,
    ),
    Rule(
        "EX113", Severity.LOW,
        "A client without a certificate is served like one that has one.",
        "Require the certificate, unless some route asks for another credential.",
        AUTHENTICATION, _optional_certificates,
    ),
    Rule(
        "EX114", Severity.LOW,
        "A token is good for a minute after its end.",
        "Lower leeway, to what the issuer's clock is wrong by.",
        "https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4", _wide_leeway,
    ),
    Rule(
        "EX115", Severity.LOW,
        "Requests, and who makes them, travel in plain text to another machine.",
        "Give the upstream tls, unless the network between is its own.",
        CONSUMPTION, _plain_upstreams,
    ),
    Rule(
        "EX116", Severity.MEDIUM,
        "Any certificate of that CA will do, whosever it is.",
        "Write the name that the certificate must have: tls.san.",
        CONSUMPTION, _any_name,
    ),
    Rule(
        "EX117", Severity.MEDIUM,
        "A condition that is always true looks like a check and is none.",
        "Leave authorize out, or say what must be true.",
        FUNCTION, _always_true,
    ),
    Rule(
        "EX118", Severity.LOW,
        "An endpoint that fails goes on getting its share of the requests.",
        "Add health_check, or outlier_detection: true.",
        "https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier", _unwatched,
    ),
    Rule(
        "EX119", Severity.MEDIUM,
        "A secret stands in the file, and so in every copy and version of it.",
        "Write ${NAME} in its place, and give the variable to the process.",
        MISCONFIGURED, _secrets,
    ),
)  # fmt: skip
