"""`hmac:`: a request that is signed with a shared secret (HTTP Message Signatures, RFC 9421, hmac-sha256).

What is signed is what counts: a signature that leaves out the path is good for every path. So the parts that say what
is asked for are always demanded, and each signature is good once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import parse_qsl, quote

from http_sfv.dictionary import Dictionary
from http_sfv.item import InnerList, Item
from pydantic import AfterValidator, Field, model_validator

from extproc import (
    Authenticator,
    Charge,
    Clock,
    Consumer,
    Counter,
    CounterStore,
    Duration,
    Hit,
    Limit,
    LocalReply,
    Name,
    Per,
    Ports,
    Request,
    Scope,
    Secret,
    Settings,
    refusal,
)

INPUT: Final = "signature-input"
SIGNATURE: Final = "signature"
ALGORITHM: Final = "hmac-sha256"
DIGEST: Final = "content-digest"
MAX_INPUT: Final = 4096  # bytes of either field; parsing takes time by the square of it
MAX_COMPONENTS: Final = 32
MAX_BASE: Final = 64 * 1024  # Envoy itself stops at 60 KiB of headers
MAX_PARAMETERS: Final = 100  # of a query, where one of them is signed
SHORTEST_SECRET: Final = 32  # bytes: as long as the digest (RFC 2104 §3)
LEEWAY: Final = 5  # seconds by which the signer's clock may be ahead
LONGEST_WINDOW: Final = timedelta(hours=1)  # every signature is remembered for as long
LATEST: Final = 253_402_300_800  # the year 10000: beyond it, a date is a mistake
ALWAYS: Final = ("@method", "@authority", "@path", "@query")
KNOWN: Final = frozenset({"created", "expires", "keyid", "alg", "nonce", "tag"})
FIELD_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}")


def _target(request: Request) -> str:
    return f"{request.path}?{request.query}" if request.query else request.path


# RFC 9421 §2.2. The scheme is the one by which Envoy was reached.
DERIVED: Final[Mapping[str, Callable[[Request], str]]] = {
    "@method": lambda request: request.method,
    "@authority": lambda request: request.host.lower(),
    "@scheme": lambda request: request.scheme.lower(),
    "@path": lambda request: request.path or "/",
    "@query": lambda request: f"?{request.query}",
    "@request-target": _target,
    "@target-uri": lambda request: f"{request.scheme.lower()}://{request.host.lower()}{_target(request)}",
}


def _covering(value: list[str]) -> list[str]:
    missing = [name for name in ALWAYS if name not in value]
    if missing:
        raise ValueError(f"a signature that leaves out {missing[0]} is good for other requests too: name it as well")
    odd = [name for name in value if name not in DERIVED and not FIELD_NAME.fullmatch(name)]
    if odd:
        raise ValueError(f"{odd[0]!r} is no component: a header in lower case, or one of {', '.join(sorted(DERIVED))}")
    return value


def _window(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= LONGEST_WINDOW:
        raise ValueError("must be from 1s to 1h")
    return value


class HmacKey(Settings):
    """A secret that a caller shares with the gateway, and whose it is."""

    secret: Secret
    """The secret: at least 32 bytes."""
    encoding: Literal["text", "base64"] = "text"
    """Whether the secret is the text as it stands, or the bytes that it spells in base64."""
    consumer: Annotated[str, Field(min_length=1, max_length=256)]
    """Who signs with it."""
    tier: Name | None = None
    """The consumer's tier."""
    scopes: list[Scope] = []
    """What the consumer may do."""
    groups: list[str] = []
    """The consumer's groups."""

    @model_validator(mode="after")
    def _is_long(self) -> Self:
        if len(self.key()) < SHORTEST_SECRET:
            raise ValueError(f"a secret has at least {SHORTEST_SECRET} bytes")
        return self

    def key(self) -> bytes:
        """Raises ValueError where it is not the base64 that it claims to be."""
        spelled = self.secret.get_secret_value()
        if self.encoding == "text":
            return spelled.encode()
        try:
            return base64.b64decode(spelled, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("a secret with encoding: base64 is spelled in base64") from None


class HmacSettings(Settings):
    """A request signed with a shared secret: the headers `signature-input` and `signature` of RFC 9421, with
    hmac-sha256 and the parameters `created` and `keyid`. Each signature is good once; two requests within a second
    differ by their `nonce`. `@authority` is the host without a port, `@path` the normal form of the path."""

    keys: Annotated[dict[Annotated[str, Field(min_length=1, max_length=256)], HmacKey], Field(min_length=1)]
    """The secrets, by the `keyid` that a signature names."""
    components: Annotated[list[str], AfterValidator(_covering)] = list(ALWAYS)
    """What must be signed, at least: these four, and headers that the upstream goes by. A request with a body must sign
    `content-digest` as well; that the body is the one of the digest, the upstream must check, for the gateway does not
    see it."""
    window: Annotated[Duration, AfterValidator(_window)] = timedelta(seconds=60)
    """For how long after `created` a signature is good. From 1s to 1h."""
    label: Annotated[str, Field(pattern=r"^[a-z*][a-z0-9_.*-]{0,63}$")] | None = None
    """Which signature counts where a request has several. Left out: a request has one, however it is called."""


class Refused(Exception):
    """Why a signature is not believed, as a reason code."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature as it came: what it covers, its parameters, and the line by which it covers these themselves."""

    components: tuple[Item, ...]
    parameters: Mapping[str, Any]
    line: str
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hmac:
    name: str
    settings: HmacSettings
    secrets: Mapping[str, bytes] = field(repr=False)
    clock: Clock
    counters: CounterStore
    once: Limit

    challenge: ClassVar[str] = f'Signature alg="{ALGORITHM}"'
    credential_headers: ClassVar[tuple[str, ...]] = (INPUT, SIGNATURE)

    def presents(self, request: Request) -> bool:
        return INPUT in request.headers or SIGNATURE in request.headers

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        try:
            signed = read(request, self.settings.label)
            self._check_times(signed.parameters)
            self._check_coverage(signed, request)
            key = self._verified(signed, request)
        except Refused as refused:
            return _refusal(str(refused))
        # Last: whoever cannot sign must not be able to fill the store.
        if not await self._is_first(key, signed.signature, request.stream):
            return _refusal("replayed_signature")
        whose = self.settings.keys[key]
        return Consumer(whose.consumer, whose.tier, tuple(whose.scopes), groups=tuple(whose.groups))

    def _check_times(self, parameters: Mapping[str, Any]) -> None:
        now = self.clock.now()
        created, expires = _moment(parameters, "created"), _moment(parameters, "expires", otherwise=LATEST)
        if created - LEEWAY > now:
            raise Refused("not_yet_valid")
        if created + self.settings.window.total_seconds() < now or expires <= now:
            raise Refused("expired")

    def _check_coverage(self, signed: Signed, request: Request) -> None:
        covered = {item.value for item in signed.components}
        if not covered.issuperset(self.settings.components):
            raise Refused("component_not_signed")
        if _has_body(request) and DIGEST not in covered:
            raise Refused("body_not_signed")

    def _verified(self, signed: Signed, request: Request) -> str:
        """The id of the key that made the signature. A key that nobody has costs as much as one of ours."""
        name = signed.parameters["keyid"]
        expected = hmac.digest(self.secrets.get(name, bytes(SHORTEST_SECRET)), base(signed, request), hashlib.sha256)
        if not hmac.compare_digest(expected, signed.signature) or name not in self.secrets:
            raise Refused("invalid_signature")
        return str(name)

    async def _is_first(self, key: str, signature: bytes, stream: str) -> bool:
        """Raises StoreUnavailable: what cannot be remembered could be sent again."""
        counter = Counter(self.once, (key, base64.b64encode(signature).decode("ascii")))
        states = await self.counters.hit(Charge((Hit(counter),), key=stream or None))
        return all(state.allowed for state in states)


class HmacKind:
    name: ClassVar[str] = "hmac"
    Settings: ClassVar[type[HmacSettings]] = HmacSettings

    @staticmethod
    def build(name: str, settings: HmacSettings, ports: Ports) -> Authenticator:
        secrets = {key: one.key() for key, one in settings.keys.items()}
        # Until it is refused by its date: from a clock that is ahead, to the last moment of the window.
        good_for = -(-settings.window // timedelta(seconds=1)) + LEEWAY + 1
        once = Limit("replay", f"authentication/{name}", Per.CONSUMER, count=1, period=good_for, burst=1)
        return Hmac(name, settings, secrets, ports.clock, ports.counters, once)


def read(request: Request, label: str | None) -> Signed:
    """The one signature that counts, as far as it can be judged without a key. Raises Refused."""
    inputs, signatures = _dictionary(request, INPUT), _dictionary(request, SIGNATURE)
    if label is None:
        if len(inputs) != 1 or inputs.keys() != signatures.keys():
            raise Refused("several_signatures" if len(inputs) > 1 or len(signatures) > 1 else "malformed_signature")
        label = next(iter(inputs))
    covered, signature = inputs.get(label), signatures.get(label)
    if not isinstance(covered, InnerList) or not isinstance(signature, Item) or not isinstance(signature.value, bytes):
        raise Refused("malformed_signature")
    _check_parameters(covered.params)
    _check_components(covered)
    return Signed(tuple(covered), dict(covered.params), str(covered), signature.value)


def _dictionary(request: Request, header: str) -> Mapping[str, Any]:
    spelled = request.headers.get(header)
    if spelled is None or len(spelled) > MAX_INPUT:
        raise Refused("malformed_signature")
    found = Dictionary()
    try:
        found.parse(spelled.encode("ascii"))
    except ValueError:
        raise Refused("malformed_signature") from None
    return dict(found)


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    """RFC 9421 §2.3. One that nobody here knows might mean that the signature is for something else."""
    texts = [parameters.get(name, "") for name in ("alg", "nonce", "tag")] + [parameters.get("keyid")]
    if not all(type(text) is str for text in texts) or not KNOWN.issuperset(parameters):  # a token is a text as well
        raise Refused("malformed_signature")
    if parameters.get("alg", ALGORITHM) != ALGORITHM:
        raise Refused("unsupported_signature")


def _check_components(covered: InnerList) -> None:
    spelled = [str(item) for item in covered]
    if len(spelled) > MAX_COMPONENTS or len(set(spelled)) != len(spelled):
        raise Refused("malformed_signature")
    for item in covered:
        if type(item.value) is not str:
            raise Refused("malformed_signature")
        # `sf`, `key`, `bs`, `tr` and `req` of §2.1 are not for requests, or another reading of the same field.
        if set(item.params) != ({"name"} if item.value == "@query-param" else set()):
            raise Refused("unsupported_signature")


def _moment(parameters: Mapping[str, Any], name: str, otherwise: int | None = None) -> int:
    value = parameters.get(name, otherwise)
    if type(value) is not int or not 0 <= value <= LATEST:
        raise Refused("malformed_signature")
    return value


def base(signed: Signed, request: Request) -> bytes:
    """The signature base of RFC 9421 §2.5. Raises Refused where something that is covered is not there."""
    lines = [f"{item}: {_value(item, request)}" for item in signed.components]
    text = "\n".join([*lines, f'"@signature-params": {signed.line}'])
    # A line end in a value would be a line of its own; §2.5 forbids what is not ASCII.
    if len(lines) != text.count("\n") or len(text) > MAX_BASE or not text.isascii():
        raise Refused("malformed_signature")
    return text.encode("ascii")


def _value(item: Item, request: Request) -> str:
    name = str(item.value)
    if name == "@query-param":
        return _query_parameter(item.params["name"], request)
    if name.startswith("@"):
        derive = DERIVED.get(name)
        if derive is None:
            raise Refused("unsupported_signature")
        return derive(request)
    values = request.headers.all(name)
    if not values:
        raise Refused("component_missing")
    return ", ".join(value.strip(" \t") for value in values)


def _query_parameter(name: Any, request: Request) -> str:
    """§2.2.8: read as a form is, spelled anew; one that is there twice must not be signed."""
    try:
        found = [value for key, value in _parameters(request) if _spelled(key) == name]
    except ValueError:
        raise Refused("malformed_signature") from None
    if len(found) != 1:
        raise Refused("component_missing")
    return _spelled(found[0])


def _parameters(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")


def _spelled(value: str) -> str:
    return quote(value, safe="*").replace("~", "%7E")


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length") not in (None, "0")


def _refusal(reason: str) -> LocalReply:
    return refusal(401, reason, "the signature is not valid here")
