"""`anonymous: {tier: guest}`: whoever brings no credential, with a tier of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from extproc import Authenticator, Consumer, LocalReply, Name, Ports, Request, Scope, Settings

ID: Final = "anonymous"  # for records; upstreams and expressions are told none


class AnonymousSettings(Settings):
    """Whoever brings no credential. One that is not good is refused, and makes nobody anonymous. Each client address is
    counted for itself; upstreams get no `x-consumer-id`."""

    tier: Name | None = None
    """The tier of these callers. Left out: none, and a route that counts `tier` refuses them."""
    scopes: list[Scope] = []
    """What they may do."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    name: str
    consumer: Consumer

    anonymous: ClassVar[bool] = True
    challenge: ClassVar[str] = ""
    credential_headers: ClassVar[tuple[str, ...]] = ()

    def presents(self, request: Request) -> bool:
        return False

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        return self.consumer


class AnonymousKind:
    name: ClassVar[str] = "anonymous"
    Settings: ClassVar[type[AnonymousSettings]] = AnonymousSettings

    @staticmethod
    def build(name: str, settings: AnonymousSettings, ports: Ports) -> Authenticator:
        return Anonymous(name, Consumer(ID, settings.tier, tuple(settings.scopes), method=name, anonymous=True))
