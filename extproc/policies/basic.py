"""`basic: {users: FILE}`: a name and a password (RFC 7617), of which the gateway knows only an Argon2 hash.

```yaml
users:
  - {name: acme, password: "$argon2id$v=19$m=19456,t=2,p=1$...", tier: free, scopes: [orders:read]}
```

Verifying is meant to be dear, so it is bounded: two at once in threads of their own, a few waiting, and what came out
is remembered by a keyed hash for a minute. A name that nobody has costs as much as one that somebody has.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import yaml
from argon2.exceptions import Argon2Error, VerifyMismatchError
from argon2.low_level import Type, hash_secret, verify_secret
from pydantic import AfterValidator, Field, ValidationError, WithJsonSchema

from extproc import (
    Authenticator,
    Consumer,
    File,
    Flights,
    LocalReply,
    Name,
    Ports,
    Remembered,
    Request,
    Scope,
    Settings,
    StoreUnavailable,
    refusal,
)

HEADER: Final = "authorization"
MAX_CREDENTIAL: Final = 1024  # bytes of name and password together; hashing begins with reading all of them
MAX_NAME: Final = 256
REALM: Final = r"[ !#-\[\]-~]{1,64}"  # RFC 9110 §11.5: a quoted string, which must need no escapes
NO_REALM: Final = "a realm has 1 to 64 letters, digits and signs, no quote and no backslash"
REALM_SCHEMA: Final = {"type": "string", "pattern": f"^(?:{REALM})$", "errorMessage": NO_REALM}
MAX_FILE: Final = 4 * 1024 * 1024
LONGEST_MEMBER: Final = 8  # of a user; passwords may be short, too
AT_ONCE: Final = 2  # each holds up to 64 MiB, and a processor
WAITING: Final = 8  # more than can be verified before Envoy's deadline would only be verified for nobody
KEPT: Final = 10_000  # of those that are good, and of those that are not
GOOD_FOR: Final = 60.0  # seconds
BAD_FOR: Final = 5.0

# How dear a hash may be: RFC 9106's second choice at most, and the least memory that OWASP's list of choices has.
HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>[1-9][0-9]{0,6}),t=(?P<passes>[1-9][0-9]?),p=(?P<lanes>[1-9][0-9]?)"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<digest>[A-Za-z0-9+/]{22,86})"
)
LEAST_MEMORY: Final = 7 * 1024  # KiB
MOST_MEMORY: Final = 64 * 1024
MOST_WORK: Final = 3 * MOST_MEMORY  # KiB written, all passes together
MOST_LANES: Final = 4
# What `extproc password` makes: OWASP's choice for one lane.
MEMORY, PASSES, LANES, SALT, DIGEST = 19 * 1024, 2, 1, 16, 32


def _bounded_hash(value: str) -> str:
    found = HASH.fullmatch(value)
    if found is None:
        raise ValueError("not a hash that `extproc password` makes, as $argon2id$v=19$m=19456,t=2,p=1$...")
    if not all(_is_unpadded(found[part]) for part in ("salt", "digest")):
        raise ValueError("not a whole hash: some of it is missing")
    memory, passes, lanes = int(found["memory"]), int(found["passes"]), int(found["lanes"])
    if not LEAST_MEMORY <= memory <= MOST_MEMORY or memory * passes > MOST_WORK or lanes > MOST_LANES:
        raise ValueError(
            f"a hash takes m from {LEAST_MEMORY} to {MOST_MEMORY}, m times t up to {MOST_WORK} and p up to {MOST_LANES}"
        )
    return value


def _is_unpadded(spelled: str) -> bool:
    """Base64 as Argon2 reads it: no padding, and no spare bits at the end."""
    try:
        decoded = base64.b64decode(spelled + "=" * (-len(spelled) % 4), validate=True)
    except binascii.Error:
        return False
    return base64.b64encode(decoded).decode("ascii").rstrip("=") == spelled


def _user_name(value: str) -> str:
    if ":" in value or not value or len(value) > MAX_NAME or not _is_text(value):
        raise ValueError(f"not a user's name: 1 to {MAX_NAME} characters without colons and control characters")
    return unicodedata.normalize("NFC", value)


def _realm(value: str) -> str:
    if not re.fullmatch(REALM, value):
        raise ValueError(NO_REALM)
    return value


class User(Settings):
    name: Annotated[str, AfterValidator(_user_name)]
    password: Annotated[str, Field(repr=False), AfterValidator(_bounded_hash)]
    tier: Name | None = None
    scopes: list[Scope] = []
    groups: list[str] = []


class UserFile(Settings):
    users: Annotated[list[User], Field(min_length=1)]


class BasicSettings(Settings):
    """A user's name and password in the header `authorization: Basic`. `extproc password` makes the hash of one."""

    users: File
    """The file of users: `users: [{name, password, tier, scopes, groups}]`, where each password is an Argon2 hash. A
    relative name is looked for beside gateway.yaml."""
    realm: Annotated[str, AfterValidator(_realm), WithJsonSchema(REALM_SCHEMA)] = "gateway"
    """What a browser shows to whoever is asked for a password."""


class Known(NamedTuple):
    password: bytes
    consumer: Consumer | None  # None: nobody has this name, and the password is not anybody's


@dataclass(frozen=True, slots=True)
class Basic:
    """`key` makes the remembered hashes worthless to whoever does not have this process's memory."""

    name: str
    realm: str
    users: Mapping[str, Known]
    good: Remembered[Consumer]
    bad: Remembered[bool]
    flights: Flights[Consumer | None] = field(default_factory=lambda: Flights(AT_ONCE + WAITING, "password checks"))
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "password"), repr=False)
    key: bytes = field(default_factory=functools.partial(secrets.token_bytes, 32), repr=False)
    decoys: tuple[bytes, ...] = field(init=False, repr=False)

    credential_headers: ClassVar[tuple[str, ...]] = (HEADER,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoys", tuple(_decoy(known.password) for known in self.users.values()))

    @property
    def challenge(self) -> str:
        return f'Basic realm="{self.realm}", charset="UTF-8"'

    def presents(self, request: Request) -> bool:
        return HEADER in request.headers

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        values = request.headers.all(HEADER)
        scheme, _, spelled = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        if scheme.lower() != "basic":
            return refusal(401, "not_basic_credentials", "this is no name and password")
        read = _credentials(spelled)
        if read is None:
            return refusal(401, "malformed_credentials", "the name and password cannot be read")
        consumer = await self._consumer(*read)
        return consumer or refusal(401, "wrong_password", "no user has this name and password")

    async def _consumer(self, name: str, password: bytes) -> Consumer | None:
        key = self._hashed(name.encode() + b":" + password)
        known = self.good.get(key)
        if known is not None or self.bad.get(key):
            return known
        return await self.flights.join(key, lambda: self._verified(key, name, password))

    async def _verified(self, key: bytes, name: str, password: bytes) -> Consumer | None:
        known = self.users.get(name) or self._nobody(name)
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self.threads, _matches, known.password, password)
        if matches and known.consumer is not None:
            self.good.keep(key, known.consumer, GOOD_FOR)
            return known.consumer
        self.bad.keep(key, answer=True, seconds=BAD_FOR)
        return None

    def _nobody(self, name: str) -> Known:
        """Always the same decoy for a name: were hashes of the file not all equally dear, the dearest would tell."""
        number = int.from_bytes(self._hashed(name.encode())[:8], "big")
        return Known(self.decoys[number % len(self.decoys)], None)

    def _hashed(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, digest_size=32, key=self.key).digest()


class BasicKind:
    name: ClassVar[str] = "basic"
    Settings: ClassVar[type[BasicSettings]] = BasicSettings

    @staticmethod
    def build(name: str, settings: BasicSettings, ports: Ports) -> Authenticator:
        users = _read(settings.users)
        return Basic(name, settings.realm, users, Remembered(ports.clock, KEPT), Remembered(ports.clock, KEPT))


def hash_password(password: str) -> str:
    """The hash to write into a file of users.

    Raises:
        ValueError: nobody could send such a password.
    """
    normal = unicodedata.normalize("NFC", password)
    spelled = normal.encode()
    if not spelled or len(spelled) > MAX_CREDENTIAL - MAX_NAME or not _is_text(normal):
        raise ValueError(f"a password has 1 to {MAX_CREDENTIAL - MAX_NAME} bytes and no control characters")
    salt = secrets.token_bytes(SALT)
    return hash_secret(spelled, salt, PASSES, MEMORY, LANES, DIGEST, Type.ID).decode("ascii")


def _credentials(spelled: str) -> tuple[str, bytes] | None:
    """Name and password in Unicode's normal form (RFC 7617 §2.1), however the client composed its letters."""
    if len(spelled) > MAX_CREDENTIAL * 4 // 3 + 4:
        return None
    try:
        decoded = base64.b64decode(spelled, validate=True)
        text = decoded.decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = unicodedata.normalize("NFC", text).partition(":")
    written_twice = (
        base64.b64encode(decoded).decode("ascii") != spelled
    )  # spare bits: the same bytes, spelled otherwise
    if not colon or not name or len(decoded) > MAX_CREDENTIAL or not _is_text(text) or written_twice:
        return None
    return name, password.encode()


def _is_text(value: str) -> bool:
    """No control character, which RFC 7617 §2 forbids in both."""
    return all(unicodedata.category(letter) not in ("Cc", "Cs") for letter in value)


def _matches(stored: bytes, password: bytes) -> bool:
    """Raises StoreUnavailable where it could not be worked out, as without the memory for it."""
    try:
        return verify_secret(stored, password, Type.ID)
    except VerifyMismatchError:
        return False
    except Argon2Error as error:
        raise StoreUnavailable(f"a password could not be verified: {type(error).__name__}") from None


def _decoy(stored: bytes) -> bytes:
    """As dear to verify as this one, and no password's hash."""
    head, _, digest = stored.rpartition(b"$")
    random = base64.b64encode(secrets.token_bytes(len(digest)))
    return head + b"$" + random[: len(digest) - 1] + b"A"  # the last letter has spare bits, which must be none


def _read(file: Path) -> Mapping[str, Known]:
    """Raises ValueError with a sentence that quotes no hash."""
    try:
        if file.stat().st_size > MAX_FILE:
            raise ValueError(f"{file} is larger than {MAX_FILE} bytes")
        users = UserFile.model_validate(_yaml(file)).users
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{file}: {_place(first['loc'])}: {first['msg'].removeprefix('Value error, ')}") from None
    if len({user.name for user in users}) != len(users):
        raise ValueError(f"{file}: one name stands twice")
    return {user.name: Known(user.password.encode("ascii"), _consumer(user)) for user in users}


def _consumer(user: User) -> Consumer:
    return Consumer(user.name, user.tier, tuple(user.scopes), groups=tuple(user.groups))


def _yaml(file: Path) -> Any:
    try:
        return yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):  # what they say quotes the file
        raise ValueError(f"{file} is not a YAML file of users") from None


def _place(location: Sequence[int | str]) -> str:
    """A password that stands where a name should is not repeated."""
    return ".".join("..." if len(str(part)) > LONGEST_MEMBER else str(part) for part in location)
