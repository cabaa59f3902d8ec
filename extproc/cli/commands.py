"""`extproc COMMAND`. Every command imports what it needs when it runs, so that `--help` is instant.

Exit codes: 0 ok, 1 findings in what was checked, 2 wrong usage, 3 it could not be run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from extproc.app.folders import WORK_FOLDER
from extproc.audit.severity import Severity
from extproc.cli.failures import reported
from extproc.cli.key_commands import keys
from extproc.cli.output import Output, OutputOption, write_json
from extproc.cli.version_commands import versions

app = typer.Typer(
    name="extproc", help="API-gateway policies for Envoy, in Python.", no_args_is_help=True, add_completion=True,
    pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
demo = typer.Typer(help="What belongs to the running demo.", no_args_is_help=True)
app.add_typer(demo, name="demo")
app.add_typer(keys, name="keys")
app.add_typer(versions, name="versions")


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"extproc {version('envoy-extproc')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """API-gateway policies for Envoy, in Python."""


File = Annotated[Path, typer.Argument(help="The gateway.yaml; - reads standard input.", metavar="FILE")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where; it is made when it is not there.", metavar="DIR")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Write a new gateway, with a policy of its own and its test."""
    with reported(output):
        from extproc.cli.scaffolding import NEXT, make_project  # noqa: PLC0415

        written = [str(file) for file in make_project(folder)]
        if output is Output.JSON:
            write_json({"created": written})
            return
        typer.echo("\n".join([*written, NEXT.format(folder=folder)]))


@app.command()
def check(file: File, output: OutputOption = Output.TEXT) -> None:
    """Check a gateway file: every problem at once, with its place."""
    with reported(output):
        from extproc.cli.files import checked  # noqa: PLC0415

        good = checked(file)
        if output is Output.JSON:
            write_json({"ok": True, "routes": len(good.routes), "revision": good.revision})
            return
        routes = "1 route" if len(good.routes) == 1 else f"{len(good.routes)} routes"
        typer.echo(f"{file}: ok ({routes}, revision {good.revision})")


@app.command()
def audit(
    file: Annotated[
        Path,
        typer.Argument(help="A gateway.yaml, or any Envoy bootstrap; - reads standard input.", metavar="FILE"),
    ],
    ignore: Annotated[
        list[str] | None, typer.Option(help="A rule not to look for; may be repeated.", metavar="RULE")
    ] = None,
    severity: Annotated[Severity, typer.Option(help="Report findings of at least this severity.")] = Severity.LOW,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what a gateway file, or any Envoy configuration, gives away, and how to mend it."""
    with reported(output):
        from extproc.cli.auditing import audit_file, unknown_rules  # noqa: PLC0415

        unknown = unknown_rules(ignore or [])
        if unknown:
            raise typer.BadParameter(unknown)
        audit_file(file, frozenset(ignore or ()), severity, as_json=output is Output.JSON)


@app.command()
def render(
    file: File,
    into: Annotated[
        Path | None,
        typer.Option(help="Write bootstrap.yaml there, and beside it what names the certificates.", metavar="DIR"),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the Envoy bootstrap of a gateway file, as YAML or as JSON, or write it into a folder."""
    with reported(output):
        from extproc.cli.rendering import NoFolder, print_bootstrap, write_bootstrap  # noqa: PLC0415

        if into is not None:
            write_bootstrap(file, into, as_json=output is Output.JSON)
            return
        try:
            print_bootstrap(file, as_json=output is Output.JSON)
        except NoFolder as error:
            raise typer.BadParameter(str(error), param_hint="--into") from None


@app.command()
def plan(file: File, output: OutputOption = Output.TEXT) -> None:
    """Say what a gateway file means, route by route."""
    with reported(output):
        from extproc.cli.planning import plan_file  # noqa: PLC0415

        plan_file(file, as_json=output is Output.JSON)


@app.command()
def schema(
    file: Annotated[Path | None, typer.Argument(help="Use the policies folder beside it.", metavar="[FILE]")] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the JSON Schema of gateway files, for editors."""
    with reported(output):
        from extproc.cli.files import kinds_for  # noqa: PLC0415
        from extproc.config.schema import schema_text  # noqa: PLC0415

        typer.echo(schema_text(kinds_for(file)), nl=False)


@app.command()
def explain(
    file: File,
    path: Annotated[str, typer.Option(help="Path, with the query behind a ?.")],
    method: Annotated[str, typer.Option(help="Method.")] = "GET",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'name: value'; may be repeated.")] = None,
    host: Annotated[str, typer.Option(help="Host.")] = "localhost",
    address: Annotated[str, typer.Option(help="The client's IP address.")] = "127.0.0.1",
    certificate: Annotated[
        Path | None, typer.Option(help="The client's certificate, as if Envoy had verified it.", metavar="PEM")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what would happen to one request, and which rule says so. No upstream gets it; counters begin empty."""
    with reported(output):
        from extproc.cli.explaining import explain_file, parse_request  # noqa: PLC0415

        try:
            shown = certificate.read_text("utf-8") if certificate else ""
            request = parse_request(method, path, header or [], host, address, shown)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        explain_file(file, request, as_json=output is Output.JSON)


@app.command()
def password(output: OutputOption = Output.TEXT) -> None:
    """Hash a password for a file of users: asks for it, or reads the first line of standard input."""
    with reported(output):
        from extproc.cli.passwords import hashed  # noqa: PLC0415

        try:
            made = hashed()
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if output is Output.JSON:
            write_json({"password": made})
            return
        typer.echo(made)


@app.command()
def serve(file: File) -> None:
    """Run the sidecar for a gateway file, until SIGTERM."""
    with reported():
        from extproc.cli.running import serve_file  # noqa: PLC0415

        serve_file(file)


@app.command()
def healthcheck(
    admin: Annotated[str, typer.Option(help="The sidecar's admin address.", metavar="HOST:PORT")] = "127.0.0.1:9900",
) -> None:
    """Say nothing where the sidecar is ready, and why not else."""
    with reported():
        from extproc.cli.healthcheck import check_ready, parse_address  # noqa: PLC0415

        try:
            host, port = parse_address(admin)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        check_ready(host, port)


@app.command()
def up(
    file: Annotated[
        Path | None, typer.Argument(help="The file to run; - reads standard input.", metavar="[FILE]")
    ] = None,
    demo: Annotated[Path | None, typer.Option(help="The demo's folder: gateway.yaml and upstream.py.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Demo: the gateway's port.")] = 8080,
    admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Demo: the sidecar's admin port.")] = 9900,
    envoy_admin_port: Annotated[int, typer.Option(min=1, max=65535, help="Demo: Envoy's admin port.")] = 9901,
) -> None:
    """Run sidecar and Envoy together, until SIGINT or SIGTERM."""
    if (file is None) == (demo is None):
        raise typer.BadParameter("write one of FILE and --demo FOLDER")
    with reported():
        from extproc.cli.running import up_local  # noqa: PLC0415

        up_local(file, demo, port, admin_port, envoy_admin_port)


@demo.command()
def token(
    consumer: Annotated[str, typer.Option(help="Who the token stands for (sub).")],
    tier: Annotated[str, typer.Option(help="The caller's tier.")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be repeated.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the running demo keeps its key.")] = Path(WORK_FOLDER),
    output: OutputOption = Output.TEXT,
) -> None:
    """Print a JWT that the running demo accepts."""
    with reported(output):
        from extproc.app.clock import SystemClock  # noqa: PLC0415
        from extproc.app.demo import make_token  # noqa: PLC0415

        made = make_token(folder, SystemClock(), consumer, tier, tuple(scope or ()))
        if output is Output.JSON:
            write_json({"token": made})
            return
        typer.echo(made)


@demo.command()
def credentials(
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path(WORK_FOLDER),
    gateway: Annotated[str, typer.Option(help="The gateway's address, for demo.env.")] = "http://127.0.0.1:8080",
    admin: Annotated[str, typer.Option(help="The sidecar's admin address, for demo.env.")] = "http://127.0.0.1:9900",
    force: Annotated[
        bool, typer.Option("--force", help="Make all anew: what was given out is worthless then.")
    ] = False,
) -> None:
    """Make the demo's signing key, API keys and tokens, where they are not there yet."""
    with reported():
        from extproc.cli.credentials import provide  # noqa: PLC0415

        provide(folder, gateway, admin, force=force)
