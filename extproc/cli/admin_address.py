"""A running sidecar, over its admin address. The standard library's HTTP client: it goes by no proxy."""

from __future__ import annotations

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

ADMIN: Final = "EXTPROC_ADMIN"
TIMEOUT: Final = 10.0
MOST: Final = 64 * 1024 * 1024  # a list of a hundred thousand keys
NO_URL: Final = "not an admin address: write http://HOST:PORT"


class AdminFailed(Exception):
    """The sidecar did not do it, in a sentence."""


class AdminAddress:
    """Whoever asks it must be the bearer of its token."""

    def __init__(self, url: str, token: str) -> None:
        """Raises ValueError for a URL that is none."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            self._port = parts.port
        except ValueError:
            raise ValueError(NO_URL) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(NO_URL)
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._token = token
        self._at = f"{parts.scheme}://{parts.hostname}" + (f":{self._port}" if self._port else "")

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Raises AdminFailed."""
        if not self._token:
            raise AdminFailed("no admin token: set EXTPROC_ADMIN_TOKEN to the one that the sidecar has")
        status, document = self._exchange(method, path, b"" if body is None else json.dumps(body).encode())
        if not isinstance(document, dict):
            raise AdminFailed(f"no sidecar answers at {self._at}: what is there speaks no JSON")
        if status in (http.client.OK, http.client.CREATED):
            return document
        raise AdminFailed(f"the sidecar at {self._at} answers {status}: {document.get('detail', 'no reason')}")

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        connection = (http.client.HTTPSConnection if self._tls else http.client.HTTPConnection)(
            self._host, self._port, timeout=TIMEOUT
        )
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read(MOST))
        except ValueError:  # no JSON; or a token with characters that no header can have
            return 0, None
        except (OSError, http.client.HTTPException) as error:
            said = (error.strerror or str(error)) if isinstance(error, OSError) else type(error).__name__
            raise AdminFailed(f"no sidecar answers at {self._at}: {said}") from None
        finally:
            connection.close()
