"""`python -m tests.bench`: what a request costs, in Envoy and in the sidecar."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench.load import CONNECTIONS, LoadFailed, NoLoadTool, find_tool
from tests.bench.measure import measure, started
from tests.bench.report import as_json, print_report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each case in each round")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))  # so that what was started is ended
    progress = Console(stderr=True)
    try:
        tool = find_tool()
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            started(Path(folder)) as running,
            progress.status("warming up") as status,
        ):
            samples = measure(running, tool, options.rounds, options.seconds, status.update)
    except (NoLoadTool, LoadFailed) as error:
        progress.print(f"bench: {error}")
        return 3
    except KeyboardInterrupt:
        return 130
    used = {
        "tool": tool.name, "connections": CONNECTIONS, "rounds": options.rounds, "seconds": options.seconds,
        "Python": platform.python_version(), "loop": "uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
    }  # fmt: skip
    if options.output == "json":
        sys.stdout.write(as_json(samples, used) + "\n")
    else:
        print_report(samples, used, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
