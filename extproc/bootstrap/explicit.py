"""Zero values that a reader must see. Proto3's JSON leaves `false` and 0 out; what an outage means must be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PREFIX: Final = "type.googleapis.com/envoy.extensions.filters."
EXPLICIT: Final[Mapping[str, Mapping[str, object]]] = {
    PREFIX + "http.ext_authz.v3.ExtAuthz": {"failure_mode_allow": False, "clear_route_cache": False},
    PREFIX + "http.ext_proc.v3.ExternalProcessor": {"failure_mode_allow": False, "allow_mode_override": False},
    PREFIX + "http.ratelimit.v3.RateLimit": {"enable_x_ratelimit_headers": "OFF"},
    PREFIX + "network.http_connection_manager.v3.HttpConnectionManager": {
        "preserve_external_request_id": False,
        "forward_client_cert_details": "SANITIZE",
        "xff_num_trusted_hops": 0,
    },
    PREFIX + "http.rbac.v3.RBAC": {"rules": {"action": "ALLOW"}},
}


def write_defaults(value: Any) -> Any:
    """The same data with the zero values of the table written back."""
    if isinstance(value, list):
        return [write_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    written = {key: write_defaults(item) for key, item in value.items()}
    explicit = EXPLICIT.get(str(written.get("@type", "")), {})
    for key, default in explicit.items():
        if not written.get(key):
            written[key] = default
    return written
