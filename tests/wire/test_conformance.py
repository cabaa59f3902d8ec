"""Our messages against envoy-data-plane, which others generated from Envoy's full API."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import betterproto2
import pytest
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import PydanticDeprecatedSince212

from extproc.wire import accesslog_pb2, auth_pb2, base_pb2, process_pb2, quota_pb2, ratelimit_pb2

with warnings.catch_warnings():
    # envoy-data-plane 2.2 is generated for an older pydantic.
    warnings.simplefilter("ignore", PydanticDeprecatedSince212)
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.data.accesslog import v3 as accesslog_data
    from envoy_data_plane.envoy.extensions.common.ratelimit import v3 as common
    from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as ext_proc_filter
    from envoy_data_plane.envoy.service.accesslog import v3 as accesslog
    from envoy_data_plane.envoy.service.auth import v3 as auth
    from envoy_data_plane.envoy.service.ext_proc import v3 as ext_proc
    from envoy_data_plane.envoy.service.rate_limit_quota import v3 as quota
    from envoy_data_plane.envoy.service.ratelimit import v3 as ratelimit
    from envoy_data_plane.envoy.type import v3 as envoy_type
    from envoy_data_plane.google import protobuf as google
    from envoy_data_plane.google import rpc
    from envoy_data_plane.message_pool import default_message_pool

ROOT = Path(__file__).parents[2]
FILES = (
    accesslog_pb2.DESCRIPTOR, base_pb2.DESCRIPTOR, auth_pb2.DESCRIPTOR, ratelimit_pb2.DESCRIPTOR,
    process_pb2.DESCRIPTOR, quota_pb2.DESCRIPTOR,
)  # fmt: skip

WELL_KNOWN: dict[str, type[betterproto2.Message]] = {
    "google.protobuf.BoolValue": google.BoolValue,
    "google.protobuf.Duration": google.Duration,
    "google.protobuf.Struct": google.Struct,
    "google.protobuf.Timestamp": google.Timestamp,
    "google.protobuf.UInt32Value": google.UInt32Value,
    "google.protobuf.UInt64Value": google.UInt64Value,
}

COUNTERPARTS: dict[str, type[betterproto2.Message]] = {
    "extproc.wire.AccessLogCommon": accesslog_data.AccessLogCommon,
    "extproc.wire.HTTPAccessLogEntry": accesslog_data.HttpAccessLogEntry,
    "extproc.wire.HTTPRequestProperties": accesslog_data.HttpRequestProperties,
    "extproc.wire.ResponseFlags": accesslog_data.ResponseFlags,
    "extproc.wire.HTTPResponseProperties": accesslog_data.HttpResponseProperties,
    "extproc.wire.StreamAccessLogsMessage": accesslog.StreamAccessLogsMessage,
    "extproc.wire.StreamAccessLogsMessage.HTTPAccessLogEntries": accesslog.StreamAccessLogsMessageHttpAccessLogEntries,
    "extproc.wire.StreamAccessLogsMessage.Identifier": accesslog.StreamAccessLogsMessageIdentifier,
    "extproc.wire.StreamAccessLogsResponse": accesslog.StreamAccessLogsResponse,
    "extproc.wire.Address": core.Address,
    "extproc.wire.HeaderMap": core.HeaderMap,
    "extproc.wire.HeaderValue": core.HeaderValue,
    "extproc.wire.HeaderValueOption": core.HeaderValueOption,
    "extproc.wire.HttpStatus": envoy_type.HttpStatus,
    "extproc.wire.Metadata": core.Metadata,
    "extproc.wire.Pipe": core.Pipe,
    "extproc.wire.SocketAddress": core.SocketAddress,
    "extproc.wire.Status": rpc.Status,
    "extproc.wire.AttributeContext": auth.AttributeContext,
    "extproc.wire.AttributeContext.HttpRequest": auth.AttributeContextHttpRequest,
    "extproc.wire.AttributeContext.Peer": auth.AttributeContextPeer,
    "extproc.wire.AttributeContext.Request": auth.AttributeContextRequest,
    "extproc.wire.AttributeContext.TLSSession": auth.AttributeContextTlsSession,
    "extproc.wire.CheckRequest": auth.CheckRequest,
    "extproc.wire.CheckResponse": auth.CheckResponse,
    "extproc.wire.DeniedHttpResponse": auth.DeniedHttpResponse,
    "extproc.wire.OkHttpResponse": auth.OkHttpResponse,
    "extproc.wire.QueryParameter": core.QueryParameter,
    "extproc.wire.RateLimitDescriptor": common.RateLimitDescriptor,
    "extproc.wire.RateLimitDescriptor.Entry": common.RateLimitDescriptorEntry,
    "extproc.wire.RateLimitDescriptor.RateLimitOverride": common.RateLimitDescriptorRateLimitOverride,
    "extproc.wire.RateLimitRequest": ratelimit.RateLimitRequest,
    "extproc.wire.RateLimitResponse": ratelimit.RateLimitResponse,
    "extproc.wire.RateLimitResponse.DescriptorStatus": ratelimit.RateLimitResponseDescriptorStatus,
    "extproc.wire.RateLimitResponse.RateLimit": ratelimit.RateLimitResponseRateLimit,
    "extproc.wire.BucketId": quota.BucketId,
    "extproc.wire.RateLimitQuotaResponse": quota.RateLimitQuotaResponse,
    "extproc.wire.RateLimitQuotaResponse.BucketAction": quota.RateLimitQuotaResponseBucketAction,
    "extproc.wire.RateLimitQuotaResponse.BucketAction.AbandonAction": (
        quota.RateLimitQuotaResponseBucketActionAbandonAction
    ),
    "extproc.wire.RateLimitQuotaResponse.BucketAction.QuotaAssignmentAction": (
        quota.RateLimitQuotaResponseBucketActionQuotaAssignmentAction
    ),
    "extproc.wire.RateLimitQuotaUsageReports": quota.RateLimitQuotaUsageReports,
    "extproc.wire.RateLimitQuotaUsageReports.BucketQuotaUsage": quota.RateLimitQuotaUsageReportsBucketQuotaUsage,
    "extproc.wire.RateLimitStrategy": envoy_type.RateLimitStrategy,
    "extproc.wire.TokenBucket": envoy_type.TokenBucket,
    "extproc.wire.BodyMutation": ext_proc.BodyMutation,
    "extproc.wire.BodyResponse": ext_proc.BodyResponse,
    "extproc.wire.CommonResponse": ext_proc.CommonResponse,
    "extproc.wire.GrpcStatus": ext_proc.GrpcStatus,
    "extproc.wire.HeaderMutation": ext_proc.HeaderMutation,
    "extproc.wire.HeadersResponse": ext_proc.HeadersResponse,
    "extproc.wire.HttpBody": ext_proc.HttpBody,
    "extproc.wire.HttpHeaders": ext_proc.HttpHeaders,
    "extproc.wire.HttpTrailers": ext_proc.HttpTrailers,
    "extproc.wire.ImmediateResponse": ext_proc.ImmediateResponse,
    "extproc.wire.ProcessingMode": ext_proc_filter.ProcessingMode,
    "extproc.wire.ProcessingRequest": ext_proc.ProcessingRequest,
    "extproc.wire.ProcessingResponse": ext_proc.ProcessingResponse,
    "extproc.wire.ProtocolConfiguration": ext_proc.ProtocolConfiguration,
    "extproc.wire.StreamedBodyResponse": ext_proc.StreamedBodyResponse,
    "extproc.wire.StreamedImmediateResponse": ext_proc.StreamedImmediateResponse,
    "extproc.wire.TrailersResponse": ext_proc.TrailersResponse,
}


def walk(messages: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for message in messages:
        if not message.GetOptions().map_entry:
            yield message
            yield from walk(message.nested_types)


MESSAGES = {message.full_name: message for file in FILES for message in walk(file.message_types_by_name.values())}
KINDS = FieldDescriptorProto.DESCRIPTOR.enum_types_by_name["Type"].values_by_number
FIELDS = [pytest.param(message, field, id=field.full_name) for message in MESSAGES.values() for field in message.fields]

# What a field holds: Envoy's message, the values of an enum, or a scalar.
Target = type[betterproto2.Message] | dict[str, int] | None


@dataclass(frozen=True)
class Shape:
    """All that decides how a field looks on the wire, and what an unset one means."""

    number: int
    kind: str
    repeated: bool
    presence: bool
    oneof: str | None
    key_kind: str | None
    value_kind: str
    target: Target


def kind_of(field: FieldDescriptor) -> str:
    return KINDS[field.type].name.removeprefix("TYPE_").lower()


def entry_of(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    """The key and the value of a map, None for any other field."""
    message = field.message_type
    if message is None or not message.GetOptions().map_entry:
        return None
    return message.fields_by_name["key"], message.fields_by_name["value"]


def shape_of_ours(field: FieldDescriptor) -> Shape:
    entry = entry_of(field)
    key, value = entry or (None, field)
    return Shape(
        number=field.number,
        kind="map" if entry else kind_of(field),
        repeated=field.is_repeated and not entry,
        presence=field.has_presence,
        oneof=field.containing_oneof.name if field.containing_oneof else None,
        key_kind=kind_of(key) if key else None,
        value_kind=kind_of(value),
        target=target_of_ours(value),
    )


def target_of_ours(field: FieldDescriptor) -> Target:
    if field.message_type is not None:
        return (COUNTERPARTS | WELL_KNOWN)[field.message_type.full_name]
    return None if field.enum_type is None else {value.name: value.number for value in field.enum_type.values}


def shape_of_envoys(message: type[betterproto2.Message], name: str) -> Shape:
    fields = betterproto2.ProtoClassMetadata(message)
    meta = fields.meta_by_field_name[name]
    key, value = meta.map_meta or (None, meta)
    cls = value.unwrap() if value.unwrap else fields.cls_by_field[f"{name}.value" if key else name]
    return Shape(
        number=meta.number,
        kind=meta.proto_type,
        repeated=bool(meta.repeated),
        presence=bool(meta.optional),
        oneof=meta.group,
        key_kind=key.proto_type if key else None,
        value_kind=value.proto_type,
        target=target_of_envoys(cls),
    )


def target_of_envoys(cls: type) -> Target:
    if issubclass(cls, betterproto2.Enum):
        return {name: int(value) for name, value in cls.__members__.items()}
    return cls if issubclass(cls, betterproto2.Message) else None


def test_every_proto_file_is_held_to_envoys() -> None:
    sources = {path.relative_to(ROOT / "protos").as_posix() for path in (ROOT / "protos").rglob("*.proto")}
    assert {file.name for file in FILES} == sources


def test_every_message_of_ours_has_a_counterpart_of_envoys() -> None:
    assert set(MESSAGES) == set(COUNTERPARTS)


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_every_message_of_ours_keeps_the_name_of_envoys(name: str) -> None:
    envoys = default_message_pool.type_to_url[COUNTERPARTS[name]]
    assert envoys.endswith(name.removeprefix("extproc.wire"))


@pytest.mark.parametrize(("message", "field"), FIELDS)
def test_every_field_of_ours_has_the_name_number_and_type_of_envoys(
    message: Descriptor, field: FieldDescriptor
) -> None:
    assert shape_of_ours(field) == shape_of_envoys(COUNTERPARTS[message.full_name], field.name)


# Messages with every field set, built by us and by Envoy's side: each of eight members of a oneof, and of three in it.
VARIANTS = range(24)
TOP_LEVEL = (
    "extproc.wire.CheckRequest",
    "extproc.wire.CheckResponse",
    "extproc.wire.RateLimitRequest",
    "extproc.wire.RateLimitResponse",
    "extproc.wire.RateLimitQuotaUsageReports",
    "extproc.wire.RateLimitQuotaResponse",
    "extproc.wire.ProcessingRequest",
    "extproc.wire.ProcessingResponse",
    "extproc.wire.StreamAccessLogsMessage",
    "extproc.wire.StreamAccessLogsResponse",
)


def struct_of(content: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(content)
    return struct


SAMPLES: dict[str, object] = {
    "bool": True,
    "bytes": b"\x00\xff bytes",
    "int32": -7,
    "int64": -1,
    "string": "grüße",
    "uint32": 2**32 - 1,
    "uint64": 2**64 - 1,
    "google.protobuf.BoolValue": wrappers_pb2.BoolValue(value=False),  # a set false is not an unset one
    "google.protobuf.Duration": duration_pb2.Duration(seconds=59, nanos=250_000_000),
    "google.protobuf.Struct": struct_of({"text": "gold", "number": 3, "list": [True, None], "inner": {"a": "b"}}),
    "google.protobuf.Timestamp": timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=500_000_000),
    "google.protobuf.UInt32Value": wrappers_pb2.UInt32Value(value=0),
    "google.protobuf.UInt64Value": wrappers_pb2.UInt64Value(value=0),  # "look, do not count"
}


def filled(message: Descriptor, variant: int) -> Message:
    chosen = [oneof.fields[variant % len(oneof.fields)] for oneof in message.oneofs]
    fields = [field for field in message.fields if field.containing_oneof is None] + chosen
    return GetMessageClass(message)(**{field.name: sample(field, variant) for field in fields})


def sample(field: FieldDescriptor, variant: int) -> object:
    entry = entry_of(field)
    if entry:
        return {"first": sample(entry[1], variant)}
    value = single(field, variant)
    return [value, value] if field.is_repeated else value


def single(field: FieldDescriptor, variant: int) -> object:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.message_type is None:
        return SAMPLES[kind_of(field)]
    name = field.message_type.full_name
    return SAMPLES[name] if name in WELL_KNOWN else filled(field.message_type, variant)


def as_envoys(message: Message) -> betterproto2.Message:
    content = {field.name: as_argument(field, getattr(message, field.name)) for field, _ in message.ListFields()}
    return COUNTERPARTS[message.DESCRIPTOR.full_name](**content)


def as_argument(field: FieldDescriptor, value: Any) -> object:
    if entry_of(field):
        return {key: as_value(value[key]) for key in value}
    return [as_value(each) for each in value] if field.is_repeated else as_value(value)


def as_value(value: object) -> object:
    match value:
        case struct_pb2.Struct():
            return google.Struct.from_dict(MessageToDict(value))
        case timestamp_pb2.Timestamp():
            return value.ToDatetime(tzinfo=dt.UTC)
        case duration_pb2.Duration():
            return value.ToTimedelta()
        case wrappers_pb2.BoolValue() | wrappers_pb2.UInt32Value() | wrappers_pb2.UInt64Value():
            return value.value
        case Message():
            return as_envoys(value)
    return value


def set_fields(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        yield field.full_name
        values = value.values() if entry_of(field) else value if field.is_repeated else [value]
        for each in values:
            if isinstance(each, Message):
                yield from set_fields(each)


def test_the_exchanged_messages_set_every_field_of_ours() -> None:
    messages = [filled(MESSAGES[name], variant) for name in TOP_LEVEL for variant in VARIANTS]
    reached = {name for message in messages for name in set_fields(message)}
    assert {field.full_name for message in MESSAGES.values() for field in message.fields} <= reached


@pytest.mark.filterwarnings("ignore:HeaderValueOption.append is deprecated:DeprecationWarning")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", TOP_LEVEL)
def test_envoys_side_reads_what_we_write(name: str, variant: int) -> None:
    ours = filled(MESSAGES[name], variant)
    assert COUNTERPARTS[name].parse(ours.SerializeToString()) == as_envoys(ours)


@pytest.mark.filterwarnings("ignore:HeaderValueOption.append is deprecated:DeprecationWarning")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", TOP_LEVEL)
def test_we_read_what_envoys_side_writes(name: str, variant: int) -> None:
    ours = filled(MESSAGES[name], variant)
    assert GetMessageClass(MESSAGES[name]).FromString(bytes(as_envoys(ours))) == ours


PROBE = """
import sys
from google.protobuf import descriptor_pool
from extproc.wire import accesslog_pb2, auth_pb2, base_pb2, process_pb2, quota_pb2, ratelimit_pb2

for name in sys.stdin.read().split():
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        continue
    sys.stdout.write(name + " ")
"""


def test_importing_our_messages_registers_no_message_of_envoys() -> None:
    envoys = [url.partition("/")[2] for url in default_message_pool.url_to_type if "/envoy." in url]
    assert "envoy.service.auth.v3.CheckRequest" in envoys
    found = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=" ".join([*envoys, "extproc.wire.CheckRequest"]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["extproc.wire.CheckRequest"]
