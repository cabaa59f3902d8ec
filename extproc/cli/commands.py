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
from extproc.cli.rollout_commands import rollout
from extproc.cli.traffic_commands import simulate, usage
from extproc.cli.version_commands import versions

app = typer.Typer(
    name="extproc", help="API-gateway policies for Envoy, in Python.", no_args_is_help=True, add_completion=True,
    pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
demo = typer.Typer(help="What belongs to the running demo.", no_args_is_help=True)
app.add_typer(demo, name="demo")
app.add_typer(keys, name="keys")
app.add_typer(rollout, name="rollout")
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


LimitFolder = Annotated[
    Path | None,
    typer.Option(help="A folder of envoyproxy/ratelimit's files instead of a FILE.", metavar="DIR"),
]
MergeDomains = Annotated[bool, typer.Option("--merge-domains", help="These files may share a domain.")]


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="The gateway.yaml; - reads standard input.", metavar="FILE")
    ] = None,
    ratelimit_config: LimitFolder = None,
    merge_domains: MergeDomains = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check a gateway file: every problem at once, with its place. Or files of envoyproxy/ratelimit."""
    if (file is None) == (ratelimit_config is None):
        raise typer.BadParameter("write one of FILE and --ratelimit-config DIR")
    with reported(output):
        if file is None:
            from extproc.cli.ratelimit import check_limits  # noqa: PLC0415

            check_limits(ratelimit_config or Path(), merge=merge_domains, as_json=output is Output.JSON)
            return
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
    body: Annotated[str, typer.Option(help="The body, where a route's model is named in it.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what would happen to one request, and which rule says so. No upstream gets it; counters begin empty."""
    with reported(output):
        from extproc.cli.explaining import explain_file, parse_request  # noqa: PLC0415

        try:
            shown = certificate.read_text("utf-8") if certificate else ""
            request = parse_request(method, path, header or [], host, address, shown, body)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        explain_file(file, request, as_json=output is Output.JSON)


app.command()(simulate)
app.command()(usage)


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
def serve(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The gateway.yaml; - reads standard input.", metavar="FILE")
    ] = None,
    ratelimit_config: LimitFolder = None,
    address: Annotated[
        str, typer.Option(help="Its gRPC service; unix:PATH is one as well.", metavar="HOST:PORT")
    ] = "127.0.0.1:8081",
    admin: Annotated[
        str | None,
        typer.Option(help="Its HTTP: /json, /healthcheck, /metrics. 127.0.0.1:9900 if free.", metavar="HOST:PORT"),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            help="Where counters are: memory, or a Redis's URL.",
            metavar="URL",
            envvar="EXTPROC_RATELIMIT_STORE",
            show_envvar=True,
        ),
    ] = "memory",
    tls_cert: Annotated[
        Path | None, typer.Option(help="Its certificate chain, for TLS; read again once replaced.", metavar="FILE")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key.", metavar="FILE")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Clients must have a certificate of this authority.", metavar="FILE")
    ] = None,
    near_limit_ratio: Annotated[
        str, typer.Option(help="The share of a limit from which hits count as near it.", metavar="0..1")
    ] = "0.8",
    merge_domains: MergeDomains = False,
    shadow_mode: Annotated[bool, typer.Option("--shadow-mode", help="Count everything, refuse nothing.")] = False,
    quota_mode: Annotated[bool, typer.Option("--quota-mode", help="Every limit is a quota.")] = False,
    response_headers: Annotated[
        str | None,
        typer.Option(help="Tell clients of limit, remaining, reset: three names, or default.", metavar="NAMES"),
    ] = None,
    dynamic_metadata: Annotated[
        bool, typer.Option("--dynamic-metadata", help="Tell filters behind what was asked.")
    ] = False,
) -> None:
    """Run the sidecar for a gateway file, or a rate limit service for envoyproxy/ratelimit's files, until SIGTERM."""
    if (file is None) == (ratelimit_config is None):
        raise typer.BadParameter("write one of FILE and --ratelimit-config DIR")
    if file is not None:
        if extra := _given(context, besides={"file"}):
            raise typer.BadParameter(f"{extra} goes with --ratelimit-config DIR, not with a FILE")
        with reported():
            from extproc.cli.running import serve_file  # noqa: PLC0415

            serve_file(file)
        return
    with reported():
        from extproc.cli.ratelimit import options_of, serve_limits  # noqa: PLC0415

        try:
            options = options_of(
                ratelimit_config, address, admin, near_limit_ratio, response_headers, store,
                tls_cert, tls_key, tls_client_ca,
                shown=_is_typed(context, "store"), merge=merge_domains, shadow=shadow_mode, quota=quota_mode,
                metadata=dynamic_metadata,
            )  # fmt: skip
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        serve_limits(options)


def _given(context: typer.Context, besides: set[str]) -> str:
    """The first option that was written, as it was."""
    for parameter in context.command.params:
        if parameter.name in besides or parameter.name is None:
            continue
        if _is_typed(context, parameter.name):
            return parameter.opts[0]
    return ""


def _is_typed(context: typer.Context, name: str) -> bool:
    """And not left out, nor read from the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


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
