"""`orchestrator serve`: the API, its documentation and Dagster's page on one address."""

import os
import sys
from typing import Any

import click

from orchestrator_defs.cli.code_options import chosen_code, code_options
from orchestrator_defs.serving import HOST, PORT, Serving


def _prefix(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    plain = "/" + value.strip("/") if value.strip("/") else ""
    if plain.startswith("/api"):
        raise click.BadParameter("everything under /api is the API's; choose another.")
    return plain


@click.command()
@click.option("--host", default=HOST, show_default=True, help="Address to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="How many processes serve.")
@click.option("--path-prefix", default="", callback=_prefix, help="Prefix of every path, as in /orchestrator.")
@click.option(
    "--app",
    metavar="MODULE:FUNCTION",
    help="A function that returns your own `create_app` application.",
)
@click.option("--definitions", metavar="MODULE[:NAME]", help="What the API serves; every code location if not given.")
@click.option(
    "--forwarded-allow-ips",
    default="127.0.0.1",
    show_default=True,
    help="Trusted proxies, whose headers name client and scheme, separated by commas; * for the nearest, any.",
)
@click.option("--access-log", is_flag=True, help="Log every request.")
@click.option("--runtime", hidden=True, type=click.Path(file_okay=False))
@code_options
def serve(**options: Any) -> None:
    """Serve the API at /api, its documentation at /api/docs, and Dagster's page at /.

    It stops on ^C or SIGTERM after the requests in progress; a serving process that dies is replaced.
    """
    sys.stdout.flush()
    serving = Serving(**options, code=chosen_code())
    os.execv(sys.executable, serving.command())  # the same process, so signals reach the server directly
