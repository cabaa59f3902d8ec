"""`extproc demo credentials`: the demo's secrets as a step of its own, for gateways that others start."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from extproc.app.clock import SystemClock
from extproc.app.credentials import provide_credentials
from extproc.app.demo import ENVIRONMENT, Places
from extproc.app.sidecar import ADMIN_TOKEN


def provide(folder: Path, gateway: str, admin: str, *, force: bool) -> None:
    """Raises NoDemo, OSError."""
    token = os.environ.get(ADMIN_TOKEN, "")  # noqa: TID251 - a command runs in the operator's environment
    what = provide_credentials(folder, SystemClock(), Places(gateway, admin, token), force=force)
    typer.echo(f"{folder / ENVIRONMENT}: {what}")
