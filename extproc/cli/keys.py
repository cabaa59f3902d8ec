"""What `extproc keys` does: on the store that a gateway file names, on another, or on a running sidecar."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from extproc.app.clock import SystemClock
from extproc.app.sidecar import ADMIN_TOKEN
from extproc.cli.admin_address import ADMIN, AdminAddress
from extproc.cli.admin_keys import AdminKeys
from extproc.cli.files import read
from extproc.cli.output import console, write_json
from extproc.cli.store_keys import StoreKeys
from extproc.config.redis_url import check_redis_url, is_redis_url, names_password
from extproc.config.wishes import read_wish
from extproc.plan.sidecar import located_keys
from extproc.stores.key_keeper import KeyWish, RotationWish, parse_expiry, parse_overlap

GATEWAY: Final = Path("gateway.yaml")
SHOWN: Final = "whoever lists processes reads arguments: name a gateway file that takes the URL from the environment"
COLUMNS: Final = ("id", "consumer", "tier", "scopes", "groups", "created", "replaced by", "expires")
Keys = StoreKeys | AdminKeys
Told = Mapping[str, Any]


class NoKeyStore(Exception):
    """The gateway file does not say where keys are kept."""


def where(file: Path | None, store: str | None, admin: str | None, token: str | None) -> Keys:
    """The keys that are meant. Raises BadParameter, NoKeyStore, InvalidConfig."""
    if sum(one is not None for one in (file, store, admin)) > 1:
        raise typer.BadParameter("write one of --file, --store and --admin")
    environment = os.environ  # noqa: TID251 - a command runs in the operator's environment
    if store is not None:
        return StoreKeys(_checked(store))
    if admin is not None or (file is None and environment.get(ADMIN)):
        with _usage():
            return AdminKeys(AdminAddress(admin or environment[ADMIN], token or environment.get(ADMIN_TOKEN, "")))
    named = file or GATEWAY
    located = read(named).plan.sidecar.keys
    if located is None:
        raise NoKeyStore(f"{named} names no store of keys: write sidecar: {{stores: {{keys: file:keys.yaml}}}}")
    return StoreKeys(located)


def _checked(store: str) -> str:
    with _usage():
        if is_redis_url(store):
            if names_password(check_redis_url(store)):
                raise ValueError(SHOWN)
        elif not store.startswith("file:") or store == "file:":
            raise ValueError("write file:NAME or the URL of a Redis")
    return located_keys(store, GATEWAY)


def split(values: Sequence[str] | None) -> list[str]:
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def key_wish(consumer: str, tier: str | None, scopes: list[str], groups: list[str], expires: str | None) -> KeyWish:
    """Checked here as well where a sidecar is asked: what was typed wrongly is wrong usage. Raises BadParameter."""
    with _usage():
        values = {"consumer": consumer, "tier": tier, "scopes": scopes, "groups": groups, "expires": expires}
        wish = read_wish(KeyWish, values)
        _check_end(wish.expires)
        return wish


def rotation_wish(overlap: str, expires: str | None) -> RotationWish:
    """Raises BadParameter."""
    with _usage():
        wish = read_wish(RotationWish, {"overlap": overlap, "expires": expires})
        parse_overlap(wish.overlap)
        _check_end(wish.expires)
        return wish


def create_key(keys: Keys, wish: KeyWish, *, as_json: bool) -> None:
    _print_new(keys.create(wish), as_json=as_json)


def rotate_key(keys: Keys, key: str, wish: RotationWish, *, as_json: bool) -> None:
    _print_new(keys.rotate(key, wish), as_json=as_json)


def revoke_key(keys: Keys, key: str, *, as_json: bool) -> None:
    revoked = keys.revoke(key)
    if as_json:
        write_json({"revoked": revoked})
        return
    typer.echo(f"{revoked['id']} of {revoked['consumer']} is revoked")


def print_keys(keys: Keys, *, as_json: bool) -> None:
    listed = keys.entries()
    if as_json:
        write_json({"keys": listed})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name)
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    for one in listed:
        table.add_row(*(Text(_cell(one, name)) for name in COLUMNS[:-1]), Text(_end(one["expires"], now)))
    console().print(table)


def _print_new(made: Told, *, as_json: bool) -> None:
    """The key alone on standard output, so that it can be piped to where it belongs."""
    if as_json:
        write_json(made)
        return
    typer.echo(made["key"])
    until = f"until {made['expires']}" if made["expires"] else "without an end"
    typer.echo(f"{made['id']} of {made['consumer']}, {until}; the key is shown this once", err=True)
    if "replaces" in made:
        typer.echo(f"{made['replaces']['id']} goes on until {made['replaces']['expires']}", err=True)


def _cell(one: Told, name: str) -> str:
    value = one[name.replace(" ", "_")]
    return ", ".join(value) if isinstance(value, list) else value or "-"


def _end(expires: str | None, now: datetime) -> str:
    if expires is None:
        return "never"
    return f"{expires} (ended)" if datetime.fromisoformat(expires) <= now else expires


def _check_end(expires: str | None) -> None:
    if expires is not None:
        parse_expiry(expires, datetime.fromtimestamp(SystemClock().now(), UTC))


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
