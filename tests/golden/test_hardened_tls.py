"""TLS in every bootstrap that we make: versions, files that are followed, clients' and upstreams' names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.golden.conftest import bootstrap_of, cases
from tests.golden.hardened import http_filters

DOWNSTREAM: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def sockets(case: Path, kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each TLS context with the listener or cluster that has it."""
    resources = bootstrap_of(case)["static_resources"]
    chains = [(listener, listener["filter_chains"][0]) for listener in resources["listeners"]]
    for owner, place in [*chains, *((cluster, cluster) for cluster in resources["clusters"])]:
        config = place.get("transport_socket", {}).get("typed_config", {})
        if config.get("@type") == kind:
            yield owner, config


def refers_to_files(secret: dict[str, Any]) -> bool:
    source = secret["sds_config"]["path_config_source"]
    return bool(source["watched_directory"]["path"] == str(Path(source["path"]).parent))


@pytest.mark.parametrize("kind", [DOWNSTREAM, UPSTREAM])
def test_tls_is_1_2_or_1_3_on_both_sides(case: Path, kind: str) -> None:
    for _, config in sockets(case, kind):
        limits = config["common_tls_context"]["tls_params"]
        assert limits == {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}


def test_every_certificate_comes_from_a_file_that_is_followed(case: Path) -> None:
    for kind in (DOWNSTREAM, UPSTREAM):
        for _, config in sockets(case, kind):
            common = config["common_tls_context"]
            assert not {"tls_certificates", "validation_context"} & common.keys()
            followed = list(common.get("tls_certificate_sds_secret_configs", []))
            followed += [common[key] for key in ("validation_context_sds_secret_config",) if key in common]
            assert all(refers_to_files(secret) for secret in followed)


def test_a_listener_that_asks_for_certificates_verifies_each_connection_anew(case: Path) -> None:
    asking = 0
    for listener, config in sockets(case, DOWNSTREAM):
        asks = "validation_context_sds_secret_config" in config["common_tls_context"]
        asking += asks
        assert config["require_client_certificate"] is (listener["name"] == "devices")
        assert config.get("disable_stateless_session_resumption", False) is asks
        assert config.get("disable_stateful_session_resumption", False) is asks
        manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
        lasting = manager["common_http_protocol_options"].get("max_connection_duration")
        assert lasting == ("300s" if asks else None)
        assert manager.get("http1_safe_max_connection_duration", False) is asks
    shown = [item.get("include_peer_certificate", False) for item in http_filters(case, "ext_authz.v3.ExtAuthz")]
    assert set(shown) == {asking > 0}


def test_an_upstream_must_have_a_name_and_not_only_an_authority(case: Path) -> None:
    for _, config in sockets(case, UPSTREAM):
        combined = config["common_tls_context"]["combined_validation_context"]
        names = combined["default_validation_context"]["match_typed_subject_alt_names"]
        assert names
        assert all(set(name["matcher"]) == {"exact"} for name in names)
        assert refers_to_files(combined["validation_context_sds_secret_config"])


def test_some_golden_file_has_tls_on_both_sides() -> None:
    """Without one, the tests above would hold nothing."""
    found = [case for case in cases() if list(sockets(case, DOWNSTREAM)) and list(sockets(case, UPSTREAM))]
    assert found
