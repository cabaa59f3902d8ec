"""`extproc render`: Envoy's configuration on standard output, or in a folder."""

from __future__ import annotations

from pathlib import Path

import typer

from extproc.app.rendering import write_files, write_whole
from extproc.bootstrap.build import NeedsFolder, build_bootstrap
from extproc.bootstrap.render import render
from extproc.cli.files import read
from extproc.cli.output import write_json


class NoFolder(Exception):
    """How to render a file that has certificates."""


def print_bootstrap(file: Path, *, as_json: bool) -> None:
    """Raises NoFolder where the bootstrap is not all that Envoy needs."""
    try:
        bootstrap = build_bootstrap(read(file).plan)
    except NeedsFolder:
        said = "this file names certificates, which Envoy reads by way of files beside the bootstrap: write --into DIR"
        raise NoFolder(said) from None
    if as_json:
        write_json(bootstrap)
        return
    typer.echo(render(bootstrap), nl=False)


def write_bootstrap(file: Path, folder: Path, *, as_json: bool) -> None:
    written = write_files(read(file).plan, folder, write_whole)
    if as_json:
        write_json({"bootstrap": str(written)})
        return
    typer.echo(str(written))
