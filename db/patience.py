"""Does something again when a table was in use, and says who used it. Everybody queues behind who waits.

A statement that wants a table for itself stops all who come later, for as long as it waits. So it waits less
than a second, gives up, lets the others through, and comes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from db.queries import load

ATTEMPTS = 12
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
"""Twelve attempts come to about a minute and a half."""
LOOK_EVERY_S = 0.1

MIGRATOR = "partyline migrate"
"""What a migrator's connection is called, so that it can be looked for."""

_SQL = load("waits")


class TableInUse(RuntimeError):
    """A table was in use at every attempt; the text says which, and by whom."""


def patiently(url: str, work: Callable[[], None], timed_out: Callable[[Exception], bool]) -> None:
    """Does `work`, again after a pause for as long as it ends in a lock timeout. Raises `TableInUse`.

    `work` must leave nothing behind when it fails; `timed_out` tells a lock timeout from other errors.
    """
    pause_s = FIRST_PAUSE_S
    for attempt in range(1, ATTEMPTS + 1):
        with _Watch(url) as watch:
            try:
                work()
                return
            except Exception as error:
                if not timed_out(error):
                    raise
        if attempt < ATTEMPTS:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
    raise TableInUse(
        f"{watch.holder or 'a table is in use'} ({ATTEMPTS} attempts): end that, or try at a quieter time"
    )


def who_runs(url: str) -> list[str]:
    """Gateways, writers and keepers that are connected to the database. Raises `psycopg.Error`."""
    with psycopg.connect(url, autocommit=True) as connection:
        return [name for (name,) in connection.execute(_SQL["who_runs"])]


class _Watch:
    """Looks from beside who holds what a migrator waits for: afterwards it cannot be seen any more."""

    def __init__(self, url: str) -> None:
        self.holder = ""
        self._url = url
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        """Never an error of its own: without a watch the migration is the same."""
        try:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
            with connection, psycopg.RawCursor(connection) as cursor:
                while not self._done.wait(LOOK_EVERY_S):
                    found = cursor.execute(_SQL["who_holds"], (MIGRATOR,)).fetchone()
                    self.holder = _described(found) if found else self.holder
        except (psycopg.Error, ValueError):
            return


def _described(found: tuple[Any, ...]) -> str:
    table, pid, role, application, seconds = found
    since = "" if seconds is None else f", in a transaction for {seconds} s"
    return f"{table} is in use by process {pid} of {role} ({application or 'no name'}{since})"
