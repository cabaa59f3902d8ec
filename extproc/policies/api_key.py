"""`api_key: {header: NAME, query: NAME}`: an opaque key, of which the gateway knows only the digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote

from extproc import (
    Authenticator,
    Consumer,
    EditableHeader,
    KeyStore,
    LocalReply,
    Ports,
    QueryName,
    Request,
    Settings,
    digest,
    is_well_formed,
    parameters_called,
    refusal,
)


class ApiKeySettings(Settings):
    """A key in a header, or in a query parameter. `sidecar.stores.keys` says which keys there are, and whose."""

    header: EditableHeader = "x-api-key"
    """The header that carries the key."""
    query: QueryName | None = None
    """A query parameter that may carry it instead, for clients that cannot set headers. The upstream gets the query
    without it. Queries are written into the logs of whoever stands in front of the gateway: prefer the header."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    name: str
    header: str
    keys: KeyStore
    query: str | None = None

    @property
    def challenge(self) -> str:
        return f'ApiKey header="{self.header}"' + (f', query="{self.query}"' if self.query else "")

    @property
    def credential_headers(self) -> tuple[str, ...]:
        return (self.header,)

    @property
    def credential_query(self) -> tuple[str, ...]:
        return (self.query,) if self.query else ()

    def presents(self, request: Request) -> bool:
        return self.header in request.headers or bool(self.query and parameters_called(self.query, request.query))

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        key = self._given(request) if self.query else request.headers.get(self.header)
        if key is None or "," in key:  # which a repeated field has, too
            return refusal(401, "several_credentials", "send one API key")
        consumer = await self.keys.consumer_of(digest(key)) if is_well_formed(key) else None
        return consumer or refusal(401, "unknown_api_key", "the API key is not known")

    def _given(self, request: Request) -> str | None:
        """The one key, wherever it stands."""
        # Envoy removes a parameter by its name as it is written: one that is spelt otherwise would go on.
        queried = [
            unquote(parameter.value) if parameter.name == self.query else ""
            for parameter in parameters_called(self.query or "", request.query)
        ]
        found = [*request.headers.all(self.header), *queried]
        return found[0] if len(found) == 1 else None


class ApiKeyKind:
    name: ClassVar[str] = "api_key"
    Settings: ClassVar[type[ApiKeySettings]] = ApiKeySettings

    @staticmethod
    def build(name: str, settings: ApiKeySettings, ports: Ports) -> Authenticator:
        return ApiKey(name, settings.header, ports.keys, settings.query)
