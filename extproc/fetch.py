"""The way out: HTTP requests of the gateway's own, to identity providers and whoever else a policy must ask.

No redirect is followed and no cookie kept; the environment's proxies are not used: a request goes to the URL that the
operator wrote, or nowhere.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from extproc.core.errors import ProviderUnavailable
from extproc.core.headers import Headers
from extproc.core.ports import Answer, Call

CONNECTIONS: Final = 100
TO_ONE_HOST: Final = 32


class HttpFetch:
    """One pool of connections, opened by the first call. Certificates are held to the system's authorities."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, call: Call) -> Answer:
        """Raises ProviderUnavailable with the host and the kind of failure, and nothing of what was sent."""
        try:
            return await self._sent(call)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            kind = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise ProviderUnavailable(f"{_host(call.url)}: {kind}") from None

    async def _sent(self, call: Call) -> Answer:
        async with self._opened().request(
            call.method,
            call.url,
            headers=call.headers,
            data=call.body or None,
            timeout=aiohttp.ClientTimeout(total=call.timeout),
            allow_redirects=False,
        ) as response:
            body = await _at_most(response.content, call.max_bytes)
            if body is None:
                raise ProviderUnavailable(f"{_host(call.url)}: more than {call.max_bytes} bytes")
            return Answer(response.status, Headers.of(response.headers.items()), body)

    def _opened(self) -> aiohttp.ClientSession:
        """Made in the loop that uses it, which is not there yet when the gateway is built."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=TO_ONE_HOST),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "no host"
    except ValueError:
        return "no host"


async def _at_most(content: aiohttp.StreamReader, most: int) -> bytes | None:
    """All of it, decompressed; None where it is longer. A bomb is not read to its end."""
    read = bytearray()
    async for chunk in content.iter_any():
        read += chunk
        if len(read) > most:
            return None
    return bytes(read)
