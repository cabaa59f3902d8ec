"""The base of every model that gateway.yaml is checked against, and the scalar types of its language."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

from extproc.config.expressions import (
    check_answer_expression,
    check_event_expression,
    check_part_condition,
    check_part_expression,
    check_request_expression,
    check_value_expression,
    compile_condition,
)
from extproc.config.spelling import CALLED, FIELD_NAME, IPV6, PORT, Spelled, text, written
from extproc.core.addresses import Network as IpNetwork
from extproc.core.decision import UNSETTABLE, HeaderEdits
from extproc.core.errors import InvalidMutation
from extproc.core.names import ENVOY_PREFIX, OWNED_PREFIXES

FOLDER: Final = "folder"  # key of the validation context: what relative file names are relative to
UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
BYTES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
PERIODS: Final = {
    "s": 1, "second": 1, "m": 60, "minute": 60, "h": 3_600, "hour": 3_600, "d": 86_400, "day": 86_400,
}  # fmt: skip
HIGHEST_RATE: Final = 1_000_000_000  # a faster limit would need less than a nanosecond between two requests
NO_DURATION: Final = "not a duration: write 250ms, 30s, 5m, 1h or 1d"
NO_SIZE: Final = "not a size: write 512, 64KiB, 1MiB or 1GiB"
NO_RATE: Final = "not a rate: write 10/s, 600/minute, 1000/hour or 5000/day"
NO_URL: Final = "not a URL to ask: write https://HOST/PATH, or http:// with a loopback address"
NO_NETWORK: Final = "not a network: write 10.0.0.0/8, 2001:db8::/32 or an address"
NETWORK: Final = r"[0-9a-fA-F:.]+(?:/[0-9]{1,3})?"
MAPPED_BITS: Final = 96  # of ::ffff:0:0/96
NO_ADDRESS: Final = "not an address: write HOST:PORT, IPv6 hosts in brackets"
NOT_NUMERIC: Final = "an address to listen on is numeric, as 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080"
LONGEST: Final = timedelta(days=366)  # protobuf's Duration, and with it Envoy, ends at 315 576 000 000 s


class Settings(BaseModel):
    """Unknown keys are errors, values cannot change after loading.

    What stands under an attribute describes its key, in the schema for editors and in the documentation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` per `period` seconds."""

    count: int
    period: int


@dataclass(frozen=True, slots=True)
class HostPort:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(NO_DURATION)
    return timedelta(milliseconds=int(match[1]) * UNITS[match[2]])


def parse_size(value: Any) -> int:
    match = re.fullmatch(r"([0-9]{1,12})(B|KiB|MiB|GiB|)", str(value)) if isinstance(value, str | int) else None
    if match is None or isinstance(value, bool):
        raise ValueError(NO_SIZE)
    return int(match[1]) * BYTES[match[2]]


def parse_rate(value: Any) -> Rate:
    if isinstance(value, Rate):
        return value
    match = re.fullmatch(r"([0-9]{1,10})/([a-z]+)", value) if isinstance(value, str) else None
    if match is None or match[2] not in PERIODS:
        raise ValueError(NO_RATE)
    count = int(match[1])
    if not 1 <= count <= HIGHEST_RATE:
        raise ValueError(f"a rate is from 1 to {HIGHEST_RATE}; to refuse everybody write authorize: 'false'")
    return Rate(count, PERIODS[match[2]])


def parse_host_port(value: Any) -> HostPort:
    if isinstance(value, HostPort):
        return value
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", str(value))
    if match is None or not 1 <= int(match[3]) <= 65_535 or (match[1] and not _is_ipv6(match[1])):  # noqa: PLR2004
        raise ValueError(NO_ADDRESS)
    return HostPort(match[1] or match[2], int(match[3]))


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6  # noqa: PLR2004 - the protocol's own name
    except ValueError:
        return False


def _listenable(value: HostPort) -> HostPort:
    """Envoy resolves no names to listen on."""
    try:
        ipaddress.ip_address(value.host)
    except ValueError:
        raise ValueError(NOT_NUMERIC) from None
    return value


def _sensible(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= LONGEST:
        raise ValueError(f"must be longer than nothing and at most {LONGEST.days}d")
    return value


def _existing_file(value: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get(FOLDER, Path())
    resolved = value if value.is_absolute() else folder / value
    try:
        found = resolved.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ValueError(f"{error.strerror}: {resolved}") from None
    if not found:
        raise ValueError(f"no such file: {resolved}")
    return Path(resolved)


def _file_or_url(value: Any, info: ValidationInfo) -> Path | str:
    if not isinstance(value, str | Path):
        raise ValueError("write the name of a file, or a URL")
    return reachable(str(value)) if "://" in str(value) else _existing_file(Path(value), info)


def _said(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("a secret has at least one character")
    return value


def reachable(value: str) -> str:
    """https, or plain HTTP to this machine: what is asked for decides who may call, and must not be forged.
    Raises ValueError."""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        raise ValueError(NO_URL) from None
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError(NO_URL)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_local(parts.hostname)):
        raise ValueError(NO_URL)
    return value


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(check: Callable[[str], None]) -> AfterValidator:
    def checked(value: str) -> str:
        check(value)
        return value

    return AfterValidator(checked)


def parse_condition(value: str) -> str:
    compile_condition(value)
    return value


def parse_network(value: Any) -> IpNetwork:
    """A network without host bits, or one address. An IPv4 client is never compared as an IPv6 one, so neither may the
    network be written as one."""
    if isinstance(value, IpNetwork):
        return value
    if not isinstance(value, str) or not re.fullmatch(NETWORK, value):
        raise ValueError(NO_NETWORK)
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(NO_NETWORK) from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None:
        raise ValueError(f"an IPv4 network is written as one: {mapped}/{max(0, network.prefixlen - MAPPED_BITS)}")
    if "/" in value and str(ipaddress.ip_address(value.partition("/")[0])) != str(network.network_address):
        raise ValueError(f"an address and not a network: write {network}")
    return network


def _beside(value: Path, info: ValidationInfo) -> Path:
    """A file that only the machine that serves has."""
    folder = (info.context or {}).get(FOLDER, Path())
    return value if value.is_absolute() else Path(folder / value)


def _editable(name: str) -> str:
    try:
        HeaderEdits(remove=(name,))
    except InvalidMutation as refused:
        raise ValueError(str(refused)) from None
    return name


NUMERIC: Final = rf"(?:{IPV6}|[0-9.]+):{PORT}"
SIZE: Final = WithJsonSchema(
    {
        "anyOf": [text("size", "[0-9]{1,12}(?:B|KiB|MiB|GiB)?", NO_SIZE), {"type": "integer", "minimum": 0}],
        CALLED: "size",
    }
)

FILE_OR_URL: Final = r"(?!.*://)[^\n]+|https?://[^\s#]+"

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_sensible),
    written("duration", "(?!0+[a-z])[0-9]{1,9}(?:ms|s|m|h|d)", NO_DURATION),
]
Size = Annotated[int, BeforeValidator(parse_size), SIZE]
LimitRate = Annotated[
    Rate,
    BeforeValidator(parse_rate),
    written(
        "rate",
        "(?=[0-9]{1,10}/)0*(?:[1-9][0-9]{0,8}|1000000000)/(?:s|second|m|minute|h|hour|d|day)",
        NO_RATE,
    ),
]
Address = Annotated[
    HostPort,
    BeforeValidator(parse_host_port),
    written("address", rf"(?:{IPV6}|[A-Za-z0-9._-]+):{PORT}", NO_ADDRESS),
]
ListenAddress = Annotated[Address, AfterValidator(_listenable), written("numeric address", NUMERIC, NOT_NUMERIC)]
File = Annotated[Path, AfterValidator(_existing_file), written("file")]
FileOrUrl = Annotated[Path | str, PlainValidator(_file_or_url), written("file or URL", FILE_OR_URL, NO_URL)]
Condition = Annotated[str, AfterValidator(parse_condition), written("CEL condition")]
AnswerCel = Annotated[str, _checked(check_answer_expression), written("CEL expression")]
EventCel = Annotated[str, _checked(check_event_expression), written("CEL expression")]
RequestCel = Annotated[str, _checked(check_request_expression), written("CEL expression")]
PartCel = Annotated[str, _checked(check_part_expression), written("CEL expression")]
PartCondition = Annotated[str, _checked(check_part_condition), written("CEL condition")]
ValueCel = Annotated[str, _checked(check_value_expression), written("CEL expression")]
ServedFile = Annotated[Path, AfterValidator(_beside), written("file")]
Network = Annotated[IpNetwork, PlainValidator(parse_network), written("network", NETWORK, NO_NETWORK)]
Secret = Annotated[SecretStr, AfterValidator(_said), written("secret")]
Url = Annotated[str, AfterValidator(reachable), written("URL", r"https?://[^\s#]+", NO_URL)]
Name = Annotated[
    str,
    Spelled(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        "not a name: up to 63 letters, digits, dots, dashes and underscores",
        "name",
    ),
]
Scope = Annotated[
    str,
    # RFC 6749 §3.3: a space inside one would make it two for the upstream.
    Spelled(r"[!#-\[\]-~]{1,256}", "not a scope: letters, digits and signs, no space, quote or backslash", "scope"),
]
HeaderName = Annotated[
    str, Spelled(FIELD_NAME, "not a header name: write it in lower case, as x-request-id", "header name")
]
QueryName = Annotated[
    str,
    Spelled(
        r"[A-Za-z0-9._~-]{1,64}",
        "not the name of a parameter: up to 64 letters, digits, dots, dashes, tildes and underscores",
        "parameter",
    ),
]
NOBODYS: Final = f"(?:{'|'.join(sorted(UNSETTABLE))})$|{'|'.join((ENVOY_PREFIX, *OWNED_PREFIXES))}"
EditableHeader = Annotated[
    HeaderName,
    AfterValidator(_editable),
    written("header name", f"(?!{NOBODYS}){FIELD_NAME}", "not the lower-case name of a header that a policy may touch"),
]
