"""Who may: `authorize` of a route."""

from __future__ import annotations

from types import MappingProxyType

from extproc.config.access import AccessUse
from extproc.core.specs import AccessRule, AuthorizeSpec


def authorize_spec(written: AccessUse | list[AccessUse]) -> AuthorizeSpec:
    if isinstance(written, list):
        return AuthorizeSpec(tuple(map(_access, written)), any_of=True)
    return AuthorizeSpec((_access(written),))


def _access(use: AccessUse) -> AccessRule:
    return AccessRule(
        addresses=tuple(use.addresses),
        deny_addresses=tuple(use.deny_addresses),
        consumers=tuple(use.consumers),
        tiers=tuple(use.tiers),
        groups=tuple(use.groups),
        scopes=tuple(use.scopes),
        any_scope=tuple(use.any_scope),
        claims=MappingProxyType({name: tuple(values) for name, values in use.claims.items()}),
        when=use.when,
    )
