"""`api_key: {header: NAME}`: an opaque key, of which the gateway knows only the digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from extproc import (
    Authenticator,
    Consumer,
    EditableHeader,
    KeyStore,
    LocalReply,
    Ports,
    Request,
    Settings,
    digest,
    is_well_formed,
    refusal,
)


class ApiKeySettings(Settings):
    """A key in a header of its own. `sidecar.stores.keys` says which keys there are, and whose."""

    header: EditableHeader = "x-api-key"
    """The header that carries the key."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    name: str
    header: str
    keys: KeyStore

    @property
    def challenge(self) -> str:
        return f'ApiKey header="{self.header}"'

    @property
    def credential_headers(self) -> tuple[str, ...]:
        return (self.header,)

    def presents(self, request: Request) -> bool:
        return self.header in request.headers

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        key = request.headers.get(self.header)
        if key is None or "," in key:  # which a repeated field has, too
            return refusal(401, "several_credentials", "send one API key")
        consumer = await self.keys.consumer_of(digest(key)) if is_well_formed(key) else None
        return consumer or refusal(401, "unknown_api_key", "the API key is not known")


class ApiKeyKind:
    name: ClassVar[str] = "api_key"
    Settings: ClassVar[type[ApiKeySettings]] = ApiKeySettings

    @staticmethod
    def build(name: str, settings: ApiKeySettings, ports: Ports) -> Authenticator:
        return ApiKey(name, settings.header, ports.keys)
