"""Which store holds the API keys, made of what the gateway file says."""

from __future__ import annotations

from pathlib import Path

from extproc.config.redis_url import is_redis_url
from extproc.core.ports import Clock, Events
from extproc.stores.file_keys import FileKeys, FileLedger
from extproc.stores.redis_connection import PATIENT, TIMEOUT, RedisConnection
from extproc.stores.redis_keys import RedisKeys

KEYS: str = "keys"  # the store's name in events and in what is said of it


def open_key_store(located: str, clock: Clock, events: Events) -> FileKeys | RedisKeys:
    """For a sidecar, which looks after it. Raises ValueError with a sentence."""
    return _redis(located, clock, events) if is_redis_url(located) else FileKeys(Path(located), clock, events)


def open_key_ledger(located: str, clock: Clock, events: Events) -> FileLedger | RedisKeys:
    """For whoever lists and changes keys. A file that is not there yet is made with its first key."""
    return _redis(located, clock, events) if is_redis_url(located) else FileLedger(Path(located))


def _redis(url: str, clock: Clock, events: Events) -> RedisKeys:
    """Two connections: what takes its time must not make a decision wait, nor fail for being as slow as it may be."""
    connection, patient = (RedisConnection(url, KEYS, events, timeout) for timeout in (TIMEOUT, PATIENT))
    return RedisKeys(connection, patient, clock)
