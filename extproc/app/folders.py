"""Where a run keeps its files, and how a private one is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from extproc.core.names import egress_socket

if TYPE_CHECKING:  # what stands here is imported by every command, and a plan brings pydantic along
    from extproc.plan.model import Plan

WORK_FOLDER: Final = ".extproc"


def make_sockets(plan: Plan) -> None:
    """The folder of sockets, for ourselves and our group: whoever may enter it may ask the sidecar. In it, where there
    is an egress listener, the one in which Envoy, who is of that group, makes its own."""
    folder = Path(plan.sidecar.folder)
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    if plan.aggregates:
        egress = Path(egress_socket(plan.sidecar.folder)).parent
        if not egress.is_dir():
            egress.mkdir()
            egress.chmod(0o770)  # whatever the umask is


def write_private(file: Path, text: str) -> None:
    """Whole or not at all, and readable by its owner alone from the first byte on."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
