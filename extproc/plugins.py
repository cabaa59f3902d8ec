"""Which kinds there are: the built-in ones. Installed packages and local folders join here when they come."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extproc.config.load import Kinds
from extproc.core.policy import AuthenticatorKind, PolicyKind
from extproc.policies.api_key import ApiKeyKind
from extproc.policies.authorize import Authorize
from extproc.policies.choose import Choose
from extproc.policies.jwt import JwtKind
from extproc.policies.limit import LimitPolicy
from extproc.policies.transform import Transform

# Kinds that an operator names with `use:`.
POLICIES: Final[Mapping[str, type[PolicyKind]]] = MappingProxyType({Transform.name: Transform})
# Kinds that keys of a route use for themselves: authorize, limits, model.
ROUTE_KEYS: Final[Mapping[str, type[PolicyKind]]] = MappingProxyType(
    {Authorize.name: Authorize, LimitPolicy.name: LimitPolicy, Choose.name: Choose}
)
AUTHENTICATORS: Final[Mapping[str, type[AuthenticatorKind]]] = MappingProxyType(
    {JwtKind.name: JwtKind, ApiKeyKind.name: ApiKeyKind}
)


def settings_of_kinds() -> Kinds:
    """What the loader checks plugin settings against."""
    return Kinds(
        policies={name: kind.Settings for name, kind in POLICIES.items()},
        authenticators={name: kind.Settings for name, kind in AUTHENTICATORS.items()},
    )
