"""The shape of gateway.yaml. What one value can get wrong is said here; what two must agree on, in references.py."""

from __future__ import annotations

import ipaddress
import math
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from extproc.config.route import Route, RouteSettings
from extproc.config.settings import (
    Address,
    Duration,
    HostPort,
    LimitRate,
    ListenAddress,
    Name,
    Settings,
    Spelled,
)
from extproc.core.specs import HUNDREDTHS

MAX_SOCKET_FOLDER = 80  # a socket path has 108 bytes at most (unix(7)), and our own name takes the rest


class TrustedProxies(Settings):
    """Who stands between the client and this listener. Anything not named here is the client itself."""

    hops: Annotated[int, Field(ge=0, le=16)] = 0
    proxy_protocol: bool = False


class Listener(Settings):
    name: Name
    address: ListenAddress
    trusted_proxies: TrustedProxies = TrustedProxies()


def _local(value: HostPort) -> HostPort:
    if not ipaddress.ip_address(value.host).is_loopback:
        raise ValueError("Envoy's admin can stop it and shows its configuration: a loopback address only")
    return value


class EnvoySettings(Settings):
    concurrency: Annotated[int, Field(ge=1, le=256)] = 2
    admin: Annotated[ListenAddress, AfterValidator(_local)] = HostPort("127.0.0.1", 9901)


class Stores(Settings):
    counters: Literal["memory"] = "memory"
    keys: str | None = None

    @field_validator("keys")
    @classmethod
    def _names_a_file(cls, value: str | None) -> str | None:
        if value is not None and not value.removeprefix("file:") != value:
            raise ValueError("write file:NAME, the file that holds the hashes of the API keys")
        return value


class Sidecar(Settings):
    address: str = "unix:/run/extproc"
    admin: Address = HostPort("127.0.0.1", 9900)
    timeout: Duration = timedelta(milliseconds=500)
    stores: Stores = Stores()

    @field_validator("address")
    @classmethod
    def _is_a_folder_of_sockets(cls, value: str) -> str:
        folder = value.removeprefix("unix:")
        if folder == value or not folder.startswith("/") or "\0" in folder:
            raise ValueError("write unix:/FOLDER, an absolute path to the folder of the sidecar's sockets")
        if len(folder.encode()) > MAX_SOCKET_FOLDER:
            raise ValueError(f"a folder of sockets has a path of at most {MAX_SOCKET_FOLDER} bytes")
        return value

    @property
    def folder(self) -> str:
        return self.address.removeprefix("unix:").rstrip("/")


# Envoy refuses control characters in it (health_check.proto), and a fragment never reaches a server.
HealthPath = Annotated[str, Spelled(r"/[^\s#\x00-\x1f\x7f]*", "not a path: write /healthz")]


class Upstream(Settings):
    endpoints: Annotated[list[Address], Field(min_length=1)]
    dns: Literal["strict", "logical"] | None = None
    balance: Literal["round_robin", "least_request", "random"] = "least_request"
    timeout: Duration | None = None
    connect_timeout: Duration = timedelta(seconds=2)
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    health_check: HealthPath | None = None
    outlier_detection: bool = False

    @model_validator(mode="after")
    def _has_one_logical_name(self) -> Self:
        if self.dns == "logical" and len(self.endpoints) > 1:
            raise ValueError("dns: logical is for one endpoint, whose name stands for many; write dns: strict")
        return self


class Tier(Settings):
    rate: LimitRate
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


class ModelVersion(Settings):
    upstream: str
    weight: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]

    @field_validator("weight")
    @classmethod
    def _in_hundredths(cls, value: float) -> float:
        if not math.isclose(round(value * HUNDREDTHS), value * HUNDREDTHS, abs_tol=1e-6):  # 0.29 * 100 is below 29
            raise ValueError("weights are percentages in steps of 0.01")
        return value


class Model(Settings):
    versions: Annotated[dict[Name, ModelVersion], Field(min_length=1)]
    sticky: Annotated[
        str, Spelled(r"consumer|none|header:[a-z0-9-]+", "write consumer, none, or header:NAME in lower case")
    ] = "consumer"

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        total = sum(round(version.weight * HUNDREDTHS) for version in self.versions.values())
        if total != 100 * HUNDREDTHS:
            raise ValueError(f"the weights of the versions add up to {total / HUNDREDTHS:g}, not to 100")
        return self


class Config(Settings):
    """One gateway."""

    listeners: Annotated[list[Listener], Field(min_length=1)]
    envoy: EnvoySettings = EnvoySettings()
    sidecar: Sidecar = Sidecar()
    upstreams: dict[Name, Upstream] = {}
    authentication: dict[Name, dict[str, Any]] = {}
    tiers: dict[Name, Tier] = {}
    models: dict[Name, Model] = {}
    defaults: RouteSettings = RouteSettings()
    routes: Annotated[list[Route], Field(min_length=1)]
