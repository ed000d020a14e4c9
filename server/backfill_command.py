"""The command `partyline backfill`: options in, progress out. What it does stands in `db.backfill`."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from server.settings import SettingsError, read_settings, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from db.backfill import State, Tell

EXIT_FAILED, EXIT_ASKED_WRONGLY, EXIT_INTERRUPTED = 1, 2, 130
LINE_EVERY_S = 5.0
"""How often progress is a line, where nobody looks at a terminal."""


def backfill(
    name: Annotated[str | None, typer.Argument(help="Which one; --list names them.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of a transaction.")] = 1000,
    pause_ms: Annotated[int, typer.Option(min=0, max=60_000, help="Pause after each, ms.")] = 50,
    list_states: Annotated[bool, typer.Option("--list", help="How far each one is.")] = False,
) -> None:
    """Fill what a migration has added, in batches, while everything runs.

    Each batch is a transaction of its own. Ctrl-C, or a kill, costs the batch it hits: the same command goes
    on where it was; two at once take turns. PARTYLINE_DATABASE_URL names the login that migrates. Exits with
    0 when no row is left, 1 when it failed, 2 when it was asked wrongly, 130 after Ctrl-C.

    Examples:  partyline backfill --list   |   partyline backfill ttl_hours --batch 500 --pause-ms 200
    """
    from db.backfill import BackfillError, UnknownBackfill, names, run, states  # noqa: PLC0415

    try:
        settings = read_settings(os.environ)
        require(settings, "database_url")
        if list_states:
            for state in states(settings.database_url):
                typer.echo(line(state))
            return
        if name is None:
            _fail(f"name a backfill: {', '.join(names())}", EXIT_ASKED_WRONGLY)
        for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored
            signal.signal(number, signal.default_int_handler)
        seen: list[State] = []
        with _progress() as tell:
            run(settings.database_url, name, batch=batch, pause_ms=pause_ms, tell=_both(seen, tell))
        typer.echo(line(seen[-1]))
    except (SettingsError, UnknownBackfill) as error:
        _fail(str(error), EXIT_ASKED_WRONGLY)
    except BackfillError as error:
        _fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on where it was", EXIT_INTERRUPTED)


def line(state: State) -> str:
    """`ttl_hours: 2,000 of 50,000 rows, since 2026-01-01 10:00 UTC`."""
    if state.started_at is None:
        return f"{state.name}: nobody has run it"
    rows = f"{state.done_rows:,} of {state.total_rows:,} rows"
    if state.finished_at is not None:
        return f"{state.name}: finished {state.finished_at:%Y-%m-%d %H:%M %Z}, {rows}"
    return f"{state.name}: {rows}, since {state.started_at:%Y-%m-%d %H:%M %Z}"


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"partyline: {text}", err=True)
    raise typer.Exit(code)


def _both(seen: list[State], tell: Tell) -> Tell:
    def heard(state: State) -> None:
        seen[:] = [state]
        tell(state)

    return heard


@contextmanager
def _progress() -> Iterator[Tell]:
    """What draws: a bar in a terminal, a line now and then elsewhere."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("")
        yield lambda state: bar.update(
            task, description=state.name, completed=state.done_rows, total=state.total_rows
        )


def _lines() -> Tell:
    last = float("-inf")

    def tell(state: State) -> None:
        nonlocal last
        if state.finished_at is None and time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            typer.echo(line(state), err=True)

    return tell
