"""The `partyline` command. It reads the settings, starts one thing, and turns errors into one line.

Exit codes: 0 done, 1 it failed while running, 2 it was asked wrongly (a setting, an argument, an address).
Commands of other packages are found by their entry points, so that no package imports another's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from server import ports
from server.backfill_command import backfill
from server.check_command import check_data
from server.settings import Settings, SettingsError, read_settings, require

app = typer.Typer(
    name="partyline",
    help="Live positions for a party: a WebSocket gateway, a writer, a keeper. Settings: PARTYLINE_*.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Port = Annotated[int, typer.Option(help="TCP port.", min=1, max=65535)]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
WorkerCount = Annotated[int, typer.Option(help="Gateway processes on the port.", min=1, max=64)]
MetricsPort = Annotated[int | None, typer.Option(help="Loopback port for /metrics.", min=1, max=65535)]


def main() -> None:
    """The console script."""
    for command in entry_points(group="partyline.commands"):
        app.command(command.name)(command.load())
    app()


def _fail(text: str, code: int = 2) -> NoReturn:
    typer.echo(f"partyline: {text}", err=True)
    raise typer.Exit(code)


def _settings(process: str, *needed: str, worker: int = 0) -> Settings:
    from server.logs import set_up_logs  # noqa: PLC0415 - `--help` stays quick

    try:
        settings = read_settings(os.environ)
        require(settings, *needed)
    except SettingsError as error:
        _fail(str(error))
    set_up_logs(process=process, level=settings.log_level, worker=worker)
    return settings


def _run(work: Callable[[], None]) -> None:
    from db.pool import DatabaseUnavailable  # noqa: PLC0415
    from db.revision import DatabaseOutdated  # noqa: PLC0415
    from server.same_key import OtherMaskKey  # noqa: PLC0415

    try:
        work()
    except (DatabaseOutdated, OtherMaskKey) as error:
        _fail(str(error), 1)
    except DatabaseUnavailable as error:
        _fail(f"{error}; is it running, and is PARTYLINE_DATABASE_URL right?")
    except OSError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    port: Port = 8080,
    host: Host = "127.0.0.1",
    workers: WorkerCount = 1,
    demo: Annotated[bool, typer.Option(help="Play a demo party of five in Seoul.")] = True,
) -> None:
    """Everything on this machine: PostgreSQL, Redis, gateway, writer, keeper and a demo party.

    Examples:  partyline up   |   partyline up --data-dir /srv/party --port 9000 --no-demo
    """
    from db.embedded.errors import StackError  # noqa: PLC0415
    from db.migrate import MigrationError  # noqa: PLC0415
    from server.up import Up, UpError  # noqa: PLC0415

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _fail(str(error))
    where = (data_dir or settings.data_dir).absolute()
    _check_port(host, port)
    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        _fail(f"{where} cannot be used: {error.strerror}; name another --data-dir")
    running = Up(
        data_dir=where,
        host=host,
        port=port,
        demo=demo,
        workers=workers,
        partitions=settings.partitions,
        say=lambda text: typer.echo(text, err=True),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # also where a shell had it ignored
    code = 0
    try:
        running.start()
        typer.echo(f"\nThe page        {running.http}/")
        link = running.invitation()
        if link:
            typer.echo(f"The invitation  {link}")
        typer.echo(f"The data        {where}\n\nCtrl-C stops everything.")
        sys.stdout.flush()
        running.wait()
    except KeyboardInterrupt:
        typer.echo("\nStopping …", err=True)
    except (StackError, MigrationError, UpError, OSError) as error:
        typer.echo(f"partyline: {error}", err=True)
        code = 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        running.stop()
    raise typer.Exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _check_port(host: str, port: int) -> None:
    """Ends the command, and says why, when nobody can listen there."""
    try:
        ports.check(host, port)
    except ports.CannotListen as error:
        _fail(str(error))


@app.command()
def gateway(
    port: Port = 8080,
    host: Host = "127.0.0.1",
    workers: WorkerCount = 1,
    metrics_port: MetricsPort = None,
    as_worker: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """The WebSocket and HTTP gateway, on one port.

    Needs PARTYLINE_DATABASE_URL, PARTYLINE_REDIS_URL and PARTYLINE_MASK_KEY.

    With --workers N, N processes share the port, and a small parent restarts the one that dies. SIGTERM and
    SIGINT let all of them drain, a second one ends them at once. SIGHUP replaces them one by one, each by
    one that is ready before the old one goes.

    /metrics of the port comes from any of them: with --metrics-port P worker 1 answers at P too, worker 2 at
    P + 1, and so on, for /metrics, /readyz and /healthz; `partyline_worker` is the worker's number, which
    each line of its log has too.

    Example:  partyline gateway --host 0.0.0.0 --port 8080 --workers 4 --metrics-port 9110
    """
    from server.serving import run  # noqa: PLC0415
    from server.workers import WorkersFailed, place_of, run_workers  # noqa: PLC0415

    place = place_of(as_worker)
    number = place.number if place is not None else 0
    settings = _settings("gateway", "database_url", "redis_url", "mask_key", worker=number)
    if place is not None:
        _run(lambda: run(settings, host=host, port=port, place=place))
        return
    _check_port(host, port)
    try:
        if workers == 1:
            metrics = None if metrics_port is None else ports.metrics(metrics_port)
            _run(lambda: run(settings, host=host, port=port, metrics=metrics))
            return
        code = run_workers(host=host, port=port, count=workers, metrics_port=metrics_port)
    except ports.CannotListen as error:
        _fail(str(error))
    except WorkersFailed as error:
        _fail(str(error), error.code)
    raise typer.Exit(code)


@app.command()
def writer(
    name: Annotated[
        str, typer.Option(help="Name in the consumer groups.", show_default="one of its own")
    ] = "",
    metrics_port: MetricsPort = None,
) -> None:
    """Moves batches from Redis into PostgreSQL. Needs PARTYLINE_DATABASE_URL and PARTYLINE_REDIS_URL.

    Example:  partyline writer --metrics-port 9101
    """
    from server.worker import run_writer  # noqa: PLC0415

    settings = _settings("writer", "database_url", "redis_url")
    _run(lambda: run_writer(settings, name=name or None, metrics_port=metrics_port))


@app.command()
def keeper(metrics_port: MetricsPort = None) -> None:
    """Drops chunks whose time-to-live has passed. Needs PARTYLINE_DATABASE_URL.

    Example:  partyline keeper --metrics-port 9102
    """
    from server.worker import run_keeper  # noqa: PLC0415

    settings = _settings("keeper", "database_url")
    _run(lambda: run_keeper(settings, metrics_port=metrics_port))


@app.command()
def migrate(
    to: Annotated[str, typer.Option(help="Revision to go up to.")] = "head",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for review and change nothing.")] = False,
) -> None:
    """Brings the database up to date; PARTYLINE_DATABASE_URL names an owner's login.

    Refuses a step whose backfill is not finished, and stops before one that takes away what an older
    Partyline uses; the steps before it stay. `--to` names a step to go to.

    PARTYLINE_GATEWAY_PASSWORD, …_WRITER_…, …_KEEPER_…, …_READER_…, …_BACKEND_…, …_ANALYST_… and
    …_MIGRATOR_… set the roles' passwords.

    Examples:  partyline migrate   |   partyline migrate --sql
    """
    from db import migrate as migrations  # noqa: PLC0415

    settings = _settings("migrate", *(() if sql else ("database_url",)))
    try:
        if sql:
            reviewed = settings.database_url or "postgresql"
            typer.echo(migrations.review_sql(reviewed, to, partitions=settings.partitions))
            return
        before = migrations.current(settings.database_url)
        stopped = migrations.upgrade(settings.database_url, to, partitions=settings.partitions)
        passwords = {
            role: password
            for role in migrations.LOGIN_ROLES
            if (password := os.environ.get(f"{role.upper()}_PASSWORD"))
        }
        if passwords:
            migrations.set_role_passwords(settings.database_url, passwords)
        after = migrations.current(settings.database_url)
    except migrations.MigrationError as error:
        _fail(str(error), 1)
    typer.echo(
        f"at revision {after}" + ("" if after != before else " already") + (f"; {stopped}" if stopped else "")
    )


app.command()(backfill)
app.command("check-data")(check_data)


@app.command()
def doctor() -> None:
    """Says whether this machine has what `partyline up` needs, and what the settings reach.

    Looks at PARTYLINE_DATABASE_URL and PARTYLINE_REDIS_URL when they are set. Exits with 1 when something is
    missing. Example:  partyline doctor
    """
    from server.doctor import examine  # noqa: PLC0415

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _fail(str(error))
    healthy = True
    for finding in examine(settings):
        typer.echo(f"{'ok  ' if finding.good else 'FAIL'}  {finding.text}")
        healthy = healthy and finding.good
    raise typer.Exit(0 if healthy else 1)


if __name__ == "__main__":
    main()
