"""`python -m tests.bench.credentials`: what believing a credential costs, beside a bare SHA-256 and a look into a dict.

The ratio is what to compare: the microseconds are the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from rich.console import Console
from rich.table import Table

from extproc.core.api_key import RANDOM_BYTES, digest, spell
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.policies.api_key import ApiKey
from extproc.policies.jwt import JwtKind, JwtSettings
from extproc.stores.key_entry import KeyEntry
from extproc.stores.keys import MemoryKeys
from extproc.testing import FakeClock, fake_ports

ISSUER: Final = "https://id.example.com"
ROUNDS: Final = 7
TIMES: Final = 2_000
KEYS: Final = 10_000  # known ones; a look-up does not get slower with them
BARE: Final = "bare sha256 + dict"
Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Case:
    """`ask` judges one credential, once. A consumer must come out of it, or none where it is `refused`."""

    name: str
    ask: Ask
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    name: str
    microseconds: float
    ratio: float


def bare() -> Case:
    """What no way of remembering a credential can do without."""
    token = bearer(claims(), ec.generate_private_key(ec.SECP256R1()), "ES256").partition(" ")[2]
    known = {hashlib.sha256(token.encode()).digest(): Consumer("acme")}

    async def ask() -> object:
        return known[hashlib.sha256(token.encode()).digest()]

    return Case(BARE, ask)


def jwt_hit() -> Case:
    """The same token again."""
    key = ec.generate_private_key(ec.SECP256R1())
    method, request = _method(ECAlgorithm.to_jwk(key.public_key())), _request(bearer(claims(), key, "ES256"))
    return Case("JWT, verified before", lambda: method.authenticate(request))


def jwt_es256() -> Case:
    key = ec.generate_private_key(ec.SECP256R1())
    return _each_anew("JWT, ES256", ECAlgorithm.to_jwk(key.public_key()), bearer(claims(), key, "ES256"))


def jwt_rs256() -> Case:
    key = rsa.generate_private_key(65_537, 2_048)
    return _each_anew("JWT, RS256", RSAAlgorithm.to_jwk(key.public_key()), bearer(claims(), key, "RS256"))


def api_key_known() -> Case:
    key = _spelt(KEYS // 2)
    return _api_key("API key, known", header=key)


def api_key_in_a_query() -> Case:
    return _api_key("API key in a query of five", query=f"a=1&b=2&apikey={_spelt(KEYS // 2)}&c=3&d=4")


def api_key_unknown() -> Case:
    return _api_key("API key, unknown", header=_spelt(KEYS), refused=True)


# The first is what the others are compared with. A new way of authenticating adds its line.
CASES: Final[Sequence[Callable[[], Case]]] = (
    bare,
    jwt_hit,
    jwt_es256,
    jwt_rs256,
    api_key_known,
    api_key_in_a_query,
    api_key_unknown,
)


def claims() -> dict[str, object]:
    now = int(FakeClock().now())
    return {
        "iss": ISSUER, "aud": "shop", "sub": "acme", "tier": "premium", "scope": "orders:read orders:write",
        "iat": now, "exp": now + 600, "jti": "3f8d0e0c-6f0a-4a43-9a43-0d1d9c6f2c11",
    }  # fmt: skip


def bearer(stated: dict[str, object], key: Any, algorithm: str) -> str:
    return "Bearer " + jwt.encode(stated, key, algorithm, headers={"kid": "k"})


def _method(public: str) -> Any:
    settings = JwtSettings(issuer=ISSUER, audiences=["shop"])
    return JwtKind.build("company", settings, fake_ports(jwks={"keys": [{**json.loads(public), "kid": "k"}]}))


def _request(authorization: str) -> Request:
    return Request("GET", "/", headers=Headers.of({"authorization": authorization, "accept": "application/json"}))


def _each_anew(name: str, public: str, authorization: str) -> Case:
    """A token that nobody remembers; the keys are prepared once, as those of a running gateway are."""
    method, request = _method(public), _request(authorization)

    async def ask() -> object:
        method.verified.forget()
        return await method.authenticate(request)

    return Case(name, ask)


def _api_key(name: str, header: str = "", query: str = "", refused: bool = False) -> Case:
    digests = [digest(_spelt(number)) for number in range(KEYS)]
    entries = [KeyEntry(sha256=one, consumer=f"consumer-{number}") for number, one in enumerate(digests)]
    method = ApiKey("partners", "x-api-key", MemoryKeys(FakeClock(), entries), "apikey" if query else None)
    headers = Headers.of({"accept": "application/json"} | ({"x-api-key": header} if header else {}))
    request = Request("GET", "/", query=query, headers=headers)
    return Case(name, lambda: method.authenticate(request), refused)


def _spelt(number: int) -> str:
    return spell(number.to_bytes(RANDOM_BYTES, "big"))


def measured(cases: Sequence[Case], rounds: int, times: int) -> list[Cost]:
    """The best of some rounds, in which all cases take turns: what disturbs one disturbs all."""
    best = dict.fromkeys((case.name for case in cases), float("inf"))
    for _ in range(rounds):
        for case in cases:
            best[case.name] = min(best[case.name], asyncio.run(_round(case, times)))
    return [Cost(name, took / 1_000, took / best[cases[0].name]) for name, took in best.items()]


async def _round(case: Case, times: int) -> float:
    """Nanoseconds of CPU for each time."""
    if isinstance(await case.ask(), Consumer) is case.refused:
        raise RuntimeError(f"{case.name}: the credential is {'' if case.refused else 'not '}believed")
    gc.collect()
    started = time.process_time_ns()
    for _ in range(times):
        await case.ask()
    return (time.process_time_ns() - started) / times


def table(costs: Sequence[Cost]) -> Table:
    drawn = Table("credential", "µs", "times the bare one", box=None)
    for cost in costs:
        drawn.add_row(cost.name, f"{cost.microseconds:.2f}", f"{cost.ratio:.1f}")
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.credentials", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--times", type=int, default=TIMES, help="for each case in each round")
    options = parser.parse_args()
    Console().print(table(measured([make() for make in CASES], options.rounds, options.times)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
