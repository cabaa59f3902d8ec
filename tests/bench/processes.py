"""The processes of a run: started, waited for, weighed, ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from extproc.app.envoy import find_envoy
from tests.e2e.harness import eventually, fetch

TICKS: Final = os.sysconf("SC_CLK_TCK")
HEALTHY: Final = "cluster.extproc.sidecar.membership_healthy"
ROOT: Final = Path(__file__).parents[2]


@dataclass(slots=True)
class Processes:
    """Ends what it started, in the order in which it was started."""

    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output, log.with_suffix(".err").open("wb") as errors:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=errors, stdin=subprocess.DEVNULL)
        self.running.append(process)
        return process

    def start_envoy(self, bootstrap: Path, admin: int, *, asks_sidecar: bool) -> subprocess.Popen[bytes]:
        command = [find_envoy(), "-c", str(bootstrap), "--concurrency", "1", "--disable-hot-restart"]
        process = self.start([*command, "--log-level", "error"], bootstrap.with_name("envoy.log"))
        wanted = f"{HEALTHY}: 1" if asks_sidecar else "server.state: 0"
        url = f"http://127.0.0.1:{admin}/stats?filter=^{wanted.partition(':')[0]}$"

        def ready() -> bool:
            assert process.poll() is None, bootstrap.with_name("envoy.err").read_text("utf-8", "replace")
            return fetch(url).strip() == wanted

        eventually(ready, f"the Envoy of {bootstrap.parent.name} is ready")
        return process

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()


def cpu_seconds(process: subprocess.Popen[bytes] | None) -> float:
    """Of all its threads and of the children it has waited for (proc(5): utime, stime, cutime, cstime)."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS
