"""How Envoy reaches the sidecar, and where that keeps what it must remember."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from extproc.config.model import MEMORY, Config
from extproc.plan.model import SidecarPlan, SigningPlan
from extproc.plan.rollouts import moves
from extproc.plan.upstreams import endpoint_of

ROLLOUTS: Final = "file:rollouts.json"


def located_keys(keys: str, file: Path) -> str:
    """The absolute name of a file that is looked for beside `file`; the URL of a Redis as it is."""
    name = keys.removeprefix("file:")
    return keys if name == keys else str(file.absolute().parent / name)


def sidecar_plan(config: Config, file: Path) -> SidecarPlan:
    keys = config.sidecar.stores.keys
    located = located_keys(keys, file) if keys else None
    return SidecarPlan(
        folder=config.sidecar.folder,
        timeout=config.sidecar.timeout.total_seconds(),
        keys=located,
        admin=endpoint_of(config.sidecar.admin),
        signing=_signing(config),
        quota_lifetime=int(config.sidecar.quota_stream.ttl.total_seconds()) if config.sidecar.quota_stream else 0,
        counters=config.sidecar.stores.counters,
        counters_timeout=config.sidecar.stores.counters_timeout.total_seconds(),
        quotas=_beside(config.sidecar.stores.quotas, file),
        usage=int(config.sidecar.usage.keep.total_seconds()) if config.sidecar.usage else None,
        rollouts=_rollouts(config, file),
    )


def _rollouts(config: Config, file: Path) -> str | None:
    """Where they are kept: where the file says, else where counters are shared; else on disk, for a restart must not
    give a version callers that it has lost."""
    stores = config.sidecar.stores
    if stores.rollouts is not None:
        return located_keys(stores.rollouts, file)
    if stores.counters != MEMORY:
        return stores.counters if config.models else None
    return located_keys(ROLLOUTS, file) if moves(config) else None


def _beside(written: str | None, file: Path) -> str | None:
    return None if written is None else str(file.absolute().parent / written.removeprefix("file:"))


def _signing(config: Config) -> SigningPlan | None:
    signing = config.sidecar.signing
    if signing is None:
        return None
    return SigningPlan(tuple(map(str, signing.keys)), signing.issuer, int(signing.lifetime.total_seconds()))
