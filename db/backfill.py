"""Fills what a migration has added, in batches, beside everything that runs. Resumable; synchronous.

A backfill is a file `backfills/<name>.sql`: `total` counts the rows to do, `batch` does a few in the order of
their keys. Each batch is a short transaction that moves the bookmark with it: a killed run loses a batch at
most, and two runs at once take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from db.address import place
from db.migrate import MigrationError
from db.queries import Queries, load

FOLDER = Path(__file__).parent / "backfills"
APPLICATION = "partyline backfill"
BATCH = 1000
PAUSE_MS = 50
LOCK_TIMEOUT_MS = 500
"""How long a batch waits for a row that somebody holds, with the rows that it holds itself."""
ATTEMPTS = 20
"""How often a batch is tried that finds a row held."""
RETRY_PAUSE_S = 1.0

_SQL = load("backfills")


class BackfillError(MigrationError):
    """Why a backfill did not finish, in one sentence that names the mend. What was done stays done."""


class UnknownBackfill(BackfillError):
    """There is no backfill of this name."""

    def __init__(self) -> None:
        super().__init__(f"there is no such backfill; there are: {', '.join(names())}")


class State(NamedTuple):
    """How far a backfill is: a row of the table `backfills`."""

    name: str
    cursor: int = 0
    done_rows: int = 0
    total_rows: int = 0
    started_at: datetime | None = None
    """`None`: nobody has run it."""
    finished_at: datetime | None = None


Tell = Callable[[State], object]


def names() -> list[str]:
    """What there is."""
    return sorted(file.stem for file in FOLDER.glob("*.sql"))


def states(url: str) -> list[State]:
    """How far each one is. Raises `BackfillError`."""
    with _connected(url) as connection, connection.transaction():
        _act(connection)
        known = {row[0]: State(*row) for row in connection.execute(_SQL["all"])}
    return [known.get(name, State(name)) for name in names()]


def run(
    url: str, name: str, *, batch: int = BATCH, pause_ms: int = PAUSE_MS, tell: Tell = lambda state: None
) -> State:
    """Runs a backfill to its end, from where it is. `tell` hears how far it is, first and after each batch.

    Raises `UnknownBackfill`, `BackfillError`; `ValueError` for a batch below 1 or a pause below 0. An
    interrupt undoes the batch that it hits.
    """
    if name not in names():
        raise UnknownBackfill
    if batch < 1 or pause_ms < 0:
        raise ValueError("a batch must be at least 1 row and a pause at least 0 ms")
    work = load(name, FOLDER)
    with _connected(url) as connection:
        state = _begin(connection, name, work)
        tell(state)
        while state.finished_at is None:
            state = _patient_batch(connection, name, work, batch)
            tell(state)
            time.sleep(pause_ms / 1000)
    return state


def _begin(connection: psycopg.Connection[Any], name: str, work: Queries) -> State:
    with connection.transaction():
        _act(connection)
        total = connection.execute(work["total"]).fetchone()
        rows = total[0] if total else 0
        connection.execute(_SQL["begin"], (name, rows))
        if rows:
            connection.execute(_SQL["begin_again"], (name, rows))
        return _hold(connection, name)


def _patient_batch(connection: psycopg.Connection[Any], name: str, work: Queries, batch: int) -> State:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.transaction():
                return _one_batch(connection, name, work, batch)
        except psycopg.errors.LockNotAvailable:
            if attempt < ATTEMPTS:
                time.sleep(RETRY_PAUSE_S)
    raise BackfillError(
        f"a row has been held by another transaction at {ATTEMPTS} attempts: end it, and run "
        f"`partyline backfill {name}` again, which goes on where it was"
    )


def _one_batch(connection: psycopg.Connection[Any], name: str, work: Queries, batch: int) -> State:
    _act(connection)
    state = _hold(connection, name)
    if state.finished_at is not None:
        return state  # by another run, which had its turn before us
    found = connection.execute(work["batch"], (state.cursor, batch)).fetchone()
    last, rows = found or (None, 0)
    if rows:
        connection.execute(_SQL["move"], (name, last, rows))
    else:
        connection.execute(_SQL["finish"], (name,))
    return _hold(connection, name)


def _act(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_SQL["act"], (f"{LOCK_TIMEOUT_MS}ms",))


def _hold(connection: psycopg.Connection[Any], name: str) -> State:
    row = connection.execute(_SQL["hold"], (name,)).fetchone()
    if row is None:
        raise BackfillError(f"the row of {name} is gone from backfills: run it again")
    return State(*row)


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own, whose errors are sentences without the URL."""
    try:
        place(url)
        with psycopg.connect(
            url, autocommit=True, application_name=APPLICATION, cursor_factory=psycopg.RawCursor
        ) as connection:
            yield connection
    except ValueError as error:
        raise BackfillError(str(error)) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise BackfillError("the database is not ready for it: run `partyline migrate` first") from None
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
        raise BackfillError(
            "this login may not act as partyline_owner: take the one that migrates, partyline_migrator"
        ) from None
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        raise BackfillError(f"the database said: {said}; run it again, it goes on where it was") from None
