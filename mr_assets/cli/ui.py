"""What is served: `mr explore` and `mr ui`."""

import click

HOST = click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Any that is not loopback is at your own risk.",
)
ALLOW_HOST = click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Answer under this name too, for example a reverse proxy's. Repeatable. Or set MR_ALLOWED_HOSTS=NAME,NAME.",
)


SPOTCHECK = click.option(
    "--spotcheck",
    is_flag=True,
    help="Take answers of spot checks, at an address that is printed at the start. On loopback alone.",
)


@click.command()
@click.option("--port", default=3001, show_default=True, help="Port on this machine.")
@HOST
@ALLOW_HOST
@SPOTCHECK
@click.option("--with-starter", is_flag=True, hidden=True)
def explore(port: int, host: str, allowed: tuple[str, ...], spotcheck: bool, with_starter: bool) -> None:
    """Serve pages about the preference pairs of every run: where each comes from, down to every judgment and battle.

    They only read, but for the answers of --spotcheck. They answer only under the names of this machine, --host and
    --allow-host. `mr ui` serves them too.
    """
    from mr_assets.explorer.serve import serve
    from mr_assets.runs.data_folder import data_root

    serve(data_root(), host, port, allowed=allowed, spotcheck=spotcheck, with_starter=with_starter)


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port on this machine.")
@HOST
@ALLOW_HOST
@click.option("--pages-port", type=int, help="Port of the pages of `mr explore`. Default: the one after --port.")
@SPOTCHECK
def ui(port: int, host: str, allowed: tuple[str, ...], pages_port: int | None, spotcheck: bool) -> None:
    """Serve the Dagster UI with its daemon: materialize any asset of any iteration, backfill, look.

    Beside it are the pages about preference pairs, as `mr explore` serves them. No page of another site can use either.
    """
    from mr_assets.cli.run import check_executor
    from mr_assets.explorer.serve import refuse_others
    from mr_assets.orchestration import code_server
    from mr_assets.orchestration.instance import dagster_home

    if spotcheck:
        refuse_others(host, allowed)
    check_executor()
    dagster_home()
    with code_server.CodeServer(code_server.MODULE) as code:
        from mr_assets.orchestration.webserver import serve_ui  # Dagster takes a second, there and here

        serve_ui(code, host, port, pages_port or port + 1, allowed, spotcheck=spotcheck)
