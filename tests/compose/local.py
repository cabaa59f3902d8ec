"""The services of the compose file as processes of this machine: what runs is what the file says.

Translated is only what an engine would have made: a container's paths are folders here, its hosts are our ports.
Where the tests run as root, every process has the user that the file gives it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Final, Self

from extproc.app.demo import UPSTREAMS
from extproc.app.envoy import find_envoy
from tests.compose.composition import FOLDER, IMAGE, Service, final, mounts, services
from tests.free_ports import free_ports

ENVOY: Final = "101:10001"
OURS: Final = "10001:10001"
# Reads what root may read, for an interpreter in a folder of root's. It writes nowhere and connects to no socket.
READS_EVERYTHING: Final = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
SOCKETS: Final = "sockets"
PORTS: Final = ("8080", "9900", "9901", "9101", "9102", "9103", "9104", "9105")


@cache
def changing_user() -> tuple[str, ...] | None:
    """Options of setpriv with which another user can run our Python, or None where that cannot be done here."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return None
    program = [sys.executable, "-c", "import sys, extproc.app.sidecar; print(sys.version)"]
    for options in ((), READS_EVERYTHING):
        command = ["setpriv", *_as(OURS), *options, *program]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parent, check=False)
        if ended.returncode == 0 and ended.stdout.strip() == sys.version.strip():
            return options
    return None


def _as(user: str) -> list[str]:
    uid, _, gid = user.partition(":")
    return [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]


class Stack:
    """Started by hand, service by service; everything that runs is ended with the context."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="compose-", dir="/tmp"))
        self.folder.chmod(0o755)  # pytest's own folders can be entered by their owner only
        self.ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        self.services = services()
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()
        shutil.rmtree(self.folder)

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports['8080']}"

    def volume(self, name: str) -> Path:
        """A named volume, as it is after a first mount: of the owner and mode that the image's folder has."""
        folder = self.folder / name
        if not folder.exists():
            made = [folder, *([folder / "egress"] if name == SOCKETS else [])]
            for one in made:
                one.mkdir(mode=0o750)
                if changing_user() is not None:
                    os.chown(one, 10001, 10001)
            made[-1].chmod(0o770 if name == SOCKETS else 0o750)  # in which Envoy makes its own socket
        return folder

    def paths(self, name: str) -> dict[str, str]:
        """Container path -> local path. A volume is at one path in all containers, and may be spoken of without it."""
        every = [mount for service in self.services.values() for mount in mounts(service) if mount.is_named]
        own = [mount for mount in mounts(self.services[name]) if not mount.is_named]
        volumes = {mount.target: str(self.volume(mount.source)) for mount in every}
        return volumes | {mount.target: str((FOLDER / mount.source).resolve()) for mount in own}

    def environment(self, name: str) -> dict[str, str]:
        service = self.services[name]
        image = dict(word.split("=", 1) for word in final("ENV")[0].words()) if service["image"] == IMAGE else {}
        own = {key: self.translated(name, value) for key, value in service.get("environment", {}).items()}
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        return {**image, **own, "PATH": path, **self._hosts(name)}

    def _hosts(self, name: str) -> dict[str, str]:
        """What the gateway file has defaults for: names that only an engine's network resolves."""
        if name not in ("bootstrap", "sidecar"):
            return {}
        upstreams = {
            variable: f"127.0.0.1:{self.ports[self.services[service]['command'][1].rpartition(':')[2]]}"
            for service, variable in UPSTREAMS.items()
        }
        own = {"GATEWAY_ADDRESS": "8080", "ENVOY_ADMIN": "9901"}
        return {**upstreams, **{variable: f"127.0.0.1:{self.ports[port]}" for variable, port in own.items()}}

    def translated(self, name: str, text: str) -> str:
        for target, local in self.paths(name).items():
            text = text.replace(target, local)
        text = text.replace("0.0.0.0", "127.0.0.1")
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: self.ports[match[1]], text)

    def command(self, name: str) -> list[str]:
        service = self.services[name]
        entry = service.get("entrypoint") or (["extproc"] if service["image"] == IMAGE else [])
        return self._program(service, [self.translated(name, word) for word in (*entry, *service["command"])])

    def health_check(self, name: str) -> list[str]:
        service = self.services[name]
        words = [self.translated(name, word) for word in service["healthcheck"]["test"][1:]]
        if words == ["extproc", "healthcheck"]:  # its default is a container's own address
            words += ["--admin", f"127.0.0.1:{self.ports['9900']}"]
        return self._program(service, words)

    def _program(self, service: Service, words: list[str]) -> list[str]:
        if words[0] == "envoy":
            words = [find_envoy(), *words[1:]]
        options = changing_user()
        if options is None:
            return words
        return ["setpriv", *_as(service["user"]), *(options if service["image"] == IMAGE else ()), *words]

    def folder_of(self, name: str) -> str:
        """Where its process begins: the image's WORKDIR, if the service mounts something there."""
        return self.paths(name).get(final("WORKDIR")[0].text, str(self.folder))

    def ends(self, name: str) -> subprocess.CompletedProcess[str]:
        """A one-shot, from its start to its end."""
        return self._run(name, self.command(name))

    def is_healthy(self, name: str) -> subprocess.CompletedProcess[str]:
        """One run of its health check."""
        return self._run(name, self.health_check(name))

    def _run(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self.environment(name), cwd=self.folder_of(name), capture_output=True, text=True,
            timeout=60, check=False, umask=0o022,
        )  # fmt: skip

    def start(self, name: str) -> subprocess.Popen[bytes]:
        log = self._ends.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            self.command(name), env=self.environment(name), cwd=self.folder_of(name), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, umask=0o022,
        )  # fmt: skip
        self._ends.callback(_ended, process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")


def _ended(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
