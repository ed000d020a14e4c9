"""The command `partyline sample-data`: options in, progress out. What it loads stands in `db.sample`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from db.sample.draw import Plan
from db.sample.loading import SampleError, find_plan, load_sample, remove_sample

EXIT_FAILED, EXIT_ASKED_WRONGLY, EXIT_INTERRUPTED = 1, 2, 130
LINES = 10
"""Plain lines of progress, where there is no terminal."""


class _Shown:
    """Progress: a bar on a terminal, otherwise a line for each tenth."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._tenth = -1
        self._bar = Progress(
            TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console, transient=True,
        ) if console.is_terminal else None  # fmt: skip
        self._task = self._bar.add_task("", total=1) if self._bar else None

    def __enter__(self) -> _Shown:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, what: str, done: int, whole: int) -> None:
        """After each step."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=what.replace("_", " "), completed=done, total=whole)
        elif done * LINES // whole > self._tenth:
            self._tenth = done * LINES // whole
            typer.echo(f"{self._tenth * 100 // LINES:>3} %  {what.replace('_', ' ')}", err=True)


def sample_data(
    *,
    places: Annotated[int, typer.Option(min=1, max=10_000_000, help="Places.")] = 200_000,
    posts: Annotated[
        int, typer.Option(min=1, max=100_000_000, help="Reviews, and a doodle for 200.")
    ] = 1_000_000,
    users: Annotated[int, typer.Option(min=1, max=10_000_000, help="People.")] = 5_000,
    trips: Annotated[int, typer.Option(min=1, max=10_000_000, help="Trips, of 3 to 6 stops.")] = 20_000,
    vectors: Annotated[
        int, typer.Option(min=0, max=100_000, help="Places with an embedding; half as many posts.")
    ] = 2_000,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="The same seed and day, the same rows.")] = 1,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="All lies before this day; default: today."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the sample away, and nothing else.")] = False,
) -> None:
    """Fill the product's tables with a made-up Seoul: places, posts, people, trips, feedback, missions.

    PARTYLINE_DATABASE_URL names an owner's login, as for `partyline migrate`. Sample rows have ids from
    1,000,000,000,000 on and touch no real row. What was stopped goes on with the same command; what is whole
    is left alone; another plan is refused until --remove.

    Exits with 0 when the sample is whole (or gone), 1 when the database refused, 2 when it was asked wrongly,
    130 after Ctrl-C.

    Examples:

      partyline sample-data

      partyline sample-data --places 2000 --posts 10000 --users 100 --trips 200 --seed 7

      partyline sample-data --remove
    """
    url = os.environ.get("PARTYLINE_DATABASE_URL", "")
    if not url:
        _fail(
            "PARTYLINE_DATABASE_URL is not set: postgresql://role:password@host:port/database",
            EXIT_ASKED_WRONGLY,
        )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with _Shown() as shown:
            if remove:
                whole = remove_sample(url, shown.tell, stop)
            else:
                there = find_plan(url)
                day = until or (there.until if there else datetime.now(UTC))
                midnight = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
                plan = Plan(midnight, seed, users, places, posts, trips, vectors)
                whole = load_sample(url, plan, shown.tell, stop)
    except SampleError as error:
        _fail(str(error), EXIT_FAILED)
    if not whole:
        _fail(
            "stopped; the same command goes on from here, and --remove takes away what is there",
            EXIT_INTERRUPTED,
        )
    typer.echo("the sample is gone" if remove else f"there are {places:,} places and {posts:,} posts")


def _fail(text: str, code: int) -> None:
    typer.echo(f"partyline: {text}", err=True)
    sys.stderr.flush()
    raise typer.Exit(code)
