"""Callers that never stop asking, so that whatever happens meanwhile happens to somebody."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tests.e2e.clients import HOST, TIMEOUT, Field
from tests.e2e.harness import eventually

CALLERS: Final = 4


class Pressure:
    """`statuses` counts the answers; what was no answer counts as 0."""

    def __init__(self, port: int, path: str, credential: Callable[[], Field]) -> None:
        self.statuses: Counter[int] = Counter()
        self._port = port
        self._path = path
        self._credential = credential
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CALLERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def goes_on(self, times: int) -> None:
        """Until so many more answers have come."""
        wanted = self.statuses.total() + times
        eventually(lambda: self.statuses.total() >= wanted, f"{times} more answers")

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)
        while not self._stopped.is_set():
            try:
                connection.request("GET", self._path, headers={"host": HOST, **dict([self._credential()])})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            self.statuses[status] += 1
        connection.close()


@contextmanager
def pressure(port: int, path: str, credential: Callable[[], Field]) -> Iterator[Pressure]:
    callers = Pressure(port, path, credential)
    callers.start()
    try:
        yield callers
    finally:
        callers.stop()
