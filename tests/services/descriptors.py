"""Descriptors as the generated ratelimit actions make them."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import UInt64Value

from extproc.core.limits import Limit, Per
from extproc.core.names import ADDRESS, DOMAIN, LIMIT, REVISION, ROUTE
from extproc.wire.ratelimit_pb2 import RateLimitDescriptor, RateLimitRequest
from tests.services.harness import NAME, PLAN

Override = RateLimitDescriptor.RateLimitOverride
LIMITS = {
    (NAME, "route-0"): Limit("route-0", "route/orders", Per.ROUTE, 4, 1, 4),
    (NAME, "address-1"): Limit("address-1", "route/orders", Per.ADDRESS, 10, 60, 10),
    (NAME, "consumer-2"): Limit("consumer-2", "route/orders", Per.CONSUMER, 10, 60, 10),
    (NAME, "odd-3"): Limit("odd-3", "route/orders", Per.ROUTE, 30, 10, 30),
}


def entries(**stamp: str) -> list[RateLimitDescriptor.Entry]:
    return [RateLimitDescriptor.Entry(key=key, value=value) for key, value in stamp.items()]


def descriptor(
    limit_name: str,
    address: str | None = None,
    *,
    route: str = NAME,
    revision: str = PLAN,
    hits: int | None = None,
    limit: Override | None = None,
) -> RateLimitDescriptor:
    stamp = {ROUTE: route, LIMIT: limit_name, REVISION: revision} | ({ADDRESS: address} if address is not None else {})
    return RateLimitDescriptor(
        entries=entries(**stamp), limit=limit, hits_addend=None if hits is None else UInt64Value(value=hits)
    )


def call(*descriptors: RateLimitDescriptor, domain: str = DOMAIN, hits: int = 0) -> RateLimitRequest:
    return RateLimitRequest(domain=domain, descriptors=descriptors, hits_addend=hits)


def override(count: int, unit: str) -> Override:
    return Override(requests_per_unit=count, unit=unit)
