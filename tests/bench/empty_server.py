"""An ext_authz server that parses the request and returns OK: what any sidecar in Python costs at least.

Process, loop, socket and gRPC options are those of `extproc serve`; with `--batch` the scheduling policy is, too.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, Final

import grpc

from extproc.app.scheduling import prefer_throughput
from extproc.cli.running import loop_factory
from extproc.services.ext_authz import SERVICE
from extproc.services.server import Server
from extproc.wire.auth_pb2 import CheckRequest, CheckResponse, OkHttpResponse
from extproc.wire.base_pb2 import Status

ALLOW: Final = CheckResponse(status=Status(code=0), ok_response=OkHttpResponse())


async def check(call: CheckRequest, context: Any) -> CheckResponse:
    return ALLOW


async def serve(path: str) -> None:
    method = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=CheckRequest.FromString, response_serializer=CheckResponse.SerializeToString
    )
    server = Server(path, [grpc.method_handlers_generic_handler(SERVICE, {"Check": method})])
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await server.start()
    await server.serve()
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    if "--batch" in sys.argv[2:]:
        prefer_throughput()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(sys.argv[1]))
