"""The kinds that come with the gateway. They use what `extproc` exports to every author, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extproc.core.policy import AuthenticatorKind, PolicyKind
from extproc.policies.adapt import Adapt
from extproc.policies.aggregate import Aggregate
from extproc.policies.anonymous import AnonymousKind
from extproc.policies.api_key import ApiKeyKind
from extproc.policies.authorize import Authorize
from extproc.policies.basic import BasicKind
from extproc.policies.choose import Choose
from extproc.policies.client_certificate import ClientCertificateKind
from extproc.policies.hmac import HmacKind
from extproc.policies.introspection import IntrospectionKind
from extproc.policies.jwt import JwtKind
from extproc.policies.limit import LimitPolicy
from extproc.policies.login import LoginKind
from extproc.policies.meter import MeterKind
from extproc.policies.transform import Transform
from extproc.policies.version import VersionPolicy

# Kinds that an operator names with `use:`.
POLICIES: Final[Mapping[str, type[PolicyKind]]] = MappingProxyType({Transform.name: Transform})
# Kinds that keys of a route use for themselves: authorize, limits, model, version, aggregate, meter.
ROUTE_KEYS: Final[Mapping[str, type[PolicyKind]]] = MappingProxyType(
    {kind.name: kind for kind in (VersionPolicy, Authorize, LimitPolicy, Choose, Adapt, Aggregate, MeterKind)}
)
AUTHENTICATORS: Final[Mapping[str, type[AuthenticatorKind]]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            *(JwtKind, IntrospectionKind, ApiKeyKind, BasicKind, HmacKind, ClientCertificateKind),
            *(LoginKind, AnonymousKind),
        )
    }
)
