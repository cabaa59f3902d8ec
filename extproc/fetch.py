"""The way out: HTTP requests of the gateway's own, to identity providers and whoever else a policy must ask.

No redirect is followed and no cookie kept; the environment's proxies are not used: a request goes to the URL that the
operator wrote, or nowhere.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from extproc.core.errors import AnswerTooLong, NoAnswerInTime, ProviderUnavailable
from extproc.core.headers import Headers
from extproc.core.ports import Answer, Call

CONNECTIONS: Final = 100
TO_ONE_HOST: Final = 32
THROUGH_A_SOCKET: Final = 512
OF_AIOHTTP: Final = ("User-Agent", "Accept", "Accept-Encoding")  # what it would add by itself
BEHIND: Final = "upstream"  # in place of a host's name
ENCODED: Final = ("", "identity")


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
        return await _sent(self._opened(), call, call.url, _host(call.url))

    def _opened(self) -> aiohttp.ClientSession:
        """Made in the loop that uses it, which is not there yet when the gateway is built."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=TO_ONE_HOST),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


class SocketFetch:
    """As HttpFetch, to whoever listens on a Unix socket: `url` is a path with its query, spelt as on the wire, and the
    call's headers say the host. Nothing is added to them, and one that comes packed is no answer."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, call: Call) -> Answer:
        """Raises ProviderUnavailable, and nothing of what was sent."""
        answer = await _sent(self._opened(), call, URL(f"http://{BEHIND}{call.url}", encoded=True), BEHIND)
        if (answer.headers.get("content-encoding") or "").strip().lower() not in ENCODED:
            raise ProviderUnavailable(f"{BEHIND}: an answer that is packed, and nobody asked for that")
        return answer

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._socket, limit=THROUGH_A_SOCKET),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=OF_AIOHTTP,
            )
        return self._session


async def _sent(session: aiohttp.ClientSession, call: Call, url: str | URL, host: str) -> Answer:
    """`host` is what a failure may name."""
    try:
        async with session.request(
            call.method,
            url,
            headers=call.headers,
            data=call.body or None,
            timeout=aiohttp.ClientTimeout(total=call.timeout),
            allow_redirects=False,
        ) as response:
            body = await _at_most(response.content, call.max_bytes)
            if body is None:
                raise AnswerTooLong(f"{host}: more than {call.max_bytes} bytes")
            return Answer(response.status, Headers.of(response.headers.items()), body)
    except TimeoutError:
        raise NoAnswerInTime(f"{host}: no answer in time") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ProviderUnavailable(f"{host}: {type(error).__name__}") from None


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
