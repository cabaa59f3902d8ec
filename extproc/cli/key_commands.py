"""`extproc keys`: the signatures and their help. What they do is in `keys.py`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from extproc.cli.failures import reported
from extproc.cli.output import Output, OutputOption

keys = typer.Typer(help="API keys: make, list, replace and end them.", no_args_is_help=True)

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The gateway file that names the store of keys. [default: gateway.yaml]"),
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="The store itself: file:NAME or the URL of a Redis.", metavar="STORE")
]
AdminOption = Annotated[
    str | None,
    typer.Option("--admin", help="Ask a running sidecar at its admin address; or EXTPROC_ADMIN.", metavar="URL"),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", help="Its admin token. Better in EXTPROC_ADMIN_TOKEN: arguments are no secret."),
]
Identity = Annotated[str, typer.Argument(help="The key's id, as list shows it.", metavar="ID")]
Expires = Annotated[str | None, typer.Option(help="When it ends: 90d, 2027-01-01 or 2027-01-01T12:00:00Z.")]
Several = "several with commas between, or the option again."


@keys.command()
def create(
    consumer: Annotated[str, typer.Option(help="Whose key it is.")],
    tier: Annotated[str | None, typer.Option(help="The consumer's tier.")] = None,
    scopes: Annotated[list[str] | None, typer.Option(help=f"What it may do: {Several}")] = None,
    groups: Annotated[list[str] | None, typer.Option(help=f"What it belongs to: {Several}")] = None,
    expires: Expires = None,
    file: FileOption = None,
    store: StoreOption = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a key, and print it: this once, for only its digest is kept."""
    with reported(output):
        from extproc.cli.keys import create_key, key_wish, split, where  # noqa: PLC0415

        wish = key_wish(consumer, tier, split(scopes), split(groups), expires)
        create_key(where(file, store, admin, token), wish, as_json=output is Output.JSON)


@keys.command(name="list")
def list_keys(
    file: FileOption = None,
    store: StoreOption = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which keys there are, whose, and for how long."""
    with reported(output):
        from extproc.cli.keys import print_keys, where  # noqa: PLC0415

        print_keys(where(file, store, admin, token), as_json=output is Output.JSON)


@keys.command()
def rotate(
    key: Identity,
    overlap: Annotated[str, typer.Option(help="How long the old key goes on.")] = "24h",
    expires: Expires = None,
    file: FileOption = None,
    store: StoreOption = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a new key for the same consumer, and print it: this once. The old one goes on for a while."""
    with reported(output):
        from extproc.cli.keys import rotate_key, rotation_wish, where  # noqa: PLC0415

        wish = rotation_wish(overlap, expires)
        rotate_key(where(file, store, admin, token), key, wish, as_json=output is Output.JSON)


@keys.command()
def revoke(
    key: Identity,
    file: FileOption = None,
    store: StoreOption = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """End a key: within a second it is refused everywhere."""
    with reported(output):
        from extproc.cli.keys import revoke_key, where  # noqa: PLC0415

        revoke_key(where(file, store, admin, token), key, as_json=output is Output.JSON)
