"""Requests that never stop, and what came of them."""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Self

CALLERS = 2
PACE = 0.01  # seconds between two requests of a caller: what is tested needs a processor too


class Came(NamedTuple):
    version: str
    status: int


@dataclass(slots=True)
class SteadyTraffic:
    """Two callers, one request after the other each, from `with` to its end."""

    port: int
    path: str
    came: list[Came] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self) -> None:
        while not self._over.is_set():
            with suppress(OSError, http.client.HTTPException):
                self._ask_on(http.client.HTTPConnection("127.0.0.1", self.port, timeout=15))

    def _ask_on(self, connection: http.client.HTTPConnection) -> None:
        try:
            while not self._over.wait(PACE):
                connection.request("GET", self.path)
                answer = connection.getresponse()
                answer.read()
                self.came.append(Came(answer.getheader("x-model-version", ""), answer.status))
        finally:
            connection.close()
