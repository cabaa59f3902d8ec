"""The commands that run until they are stopped."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from pathlib import Path

from extproc.app.local import Options, run
from extproc.app.scheduling import prefer_throughput
from extproc.app.sidecar import Sidecar
from extproc.cli.feed import ConsoleReporter
from extproc.cli.files import read, text_of


def serve_file(file: Path) -> None:
    prefer_throughput()
    project = read(file)

    async def serve() -> None:
        await Sidecar(project).run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (the extra `uvloop`)."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def up_local(file: Path | None, demo: Path | None, port: int, admin_port: int, envoy_admin_port: int) -> None:
    chosen = file if file is not None else (demo or Path()) / "gateway.yaml"
    options = Options(chosen, demo, port, admin_port, envoy_admin_port, text_of(chosen))
    asyncio.run(run(options, ConsoleReporter(demo=demo is not None)))
