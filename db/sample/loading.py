"""Copies a sample into a database, batch by batch, each in its own transaction; goes on where it stopped.

Indexes, keys and the doodle rule stay in force while it loads: what a rule refuses is a fault of the sample.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import zip_longest
from queue import SimpleQueue
from typing import Any

import psycopg

from db.address import place
from db.queries import load
from db.sample.draw import FIRST_ID, Plan
from db.sample.kinds import KINDS, Kind
from db.sample.posts import author_place, first_doodle

_SQL = load("sample")

SESSION = {"maintenance_work_mem": "256MB", "work_mem": "64MB"}
"""For the GIN indexes, which take most of the time. Their pending lists keep the server's size: longer
ones load a little quicker, and leave an index four times as large."""

REMOVALS = (
    "feedback",
    "trips",
    "post_tags",
    "posts",
    "mission_assignments",
    "missions",
    "places",
    "tags",
    "users",
)

Connection = psycopg.Connection[Any]
Tell = Callable[[str, int, int], None]
"""Called after each step: which kind, how much is done, and how much it is in all."""


class SampleError(RuntimeError):
    """Why there is no sample, in one sentence that names the mend. Whole batches only are there."""


def plan_text(plan: Plan) -> str:
    """A plan as the sample's source is called; at most 100 characters."""
    counts = (plan.users, plan.places, plan.posts, plan.trips, plan.embeddings)
    return f"sample {plan.until.date()} seed {plan.seed} of {'/'.join(map(str, counts))}"


_PLAN = re.compile(r"sample (\S+) seed (\d+) of (\d+)/(\d+)/(\d+)/(\d+)/(\d+)", re.ASCII)


def _plan_of(text: str) -> Plan | None:
    match = _PLAN.fullmatch(text)
    if match is None:
        return None
    return Plan(datetime.fromisoformat(match[1]).replace(tzinfo=UTC), *map(int, match.groups()[1:]))


def find_plan(url: str) -> Plan | None:
    """The plan of the sample that is there, whole or not. Raises `SampleError`."""
    with _owner(url) as owner:
        return _find(owner)


def load_sample(url: str, plan: Plan, tell: Tell, stop: threading.Event) -> bool:
    """Loads what is not there yet. False when `stop` was set before all of it was. Raises `SampleError`."""
    with _owner(url) as first, _owner(url) as second:
        _take_turn(first)
        there = _find(first)
        if there is None:
            first.execute(_SQL["note_plan"], [plan_text(plan)])
        elif there != plan:
            raise SampleError("another sample is there: take it away first with --remove")
        whole = sum(kind.weight * kind.count(plan) for kind in KINDS)
        done = 0
        for kind in KINDS:
            missing = [n for n in range(kind.count(plan)) if n not in _there(first, kind, plan)]
            done += kind.weight * (kind.count(plan) - len(missing))
            tell(kind.name, done, whole)
            for _ in _copied(kind, plan, missing, (first, second), stop):
                done += kind.weight
                tell(kind.name, done, whole)
            if stop.is_set():
                return False
        first.execute(_SQL["settle"])
        return True


def remove_sample(url: str, tell: Tell, stop: threading.Event) -> bool:
    """Takes every sample row away. False when `stop` was set before. Raises `SampleError`."""
    with _owner(url) as owner:
        _take_turn(owner)
        for step, name in enumerate((*REMOVALS, "plan")):
            if stop.is_set():
                return False
            tell(name, step, len(REMOVALS) + 1)
            owner.execute(_SQL[f"remove_{name}"])
        owner.execute(_SQL["settle"])
    return True


@contextmanager
def _owner(url: str) -> Iterator[Connection]:
    try:
        where = place(url)
    except ValueError as error:
        raise SampleError(str(error)) from None
    try:
        connection = psycopg.connect(
            url, autocommit=True, cursor_factory=psycopg.RawCursor, application_name="partyline-sample-data"
        )
    except psycopg.Error:
        raise SampleError(
            f"cannot use PostgreSQL at {where}: is it running, and is PARTYLINE_DATABASE_URL right?"
        ) from None
    try:
        with connection:
            connection.execute(_SQL["become_owner"])
            for name, value in SESSION.items():
                connection.execute(_SQL["set_session"], [name, value])
            yield connection
    except psycopg.Error as error:
        raise SampleError(_sentence(error)) from None


def _sentence(error: psycopg.Error) -> str:
    """What to do about it. No value of a row is repeated."""
    match error:
        case (
            psycopg.errors.UndefinedTable()
            | psycopg.errors.UndefinedObject()
            | psycopg.errors.UndefinedColumn()
        ):
            return "the product's tables are not there: run `partyline migrate` first"
        case psycopg.errors.InsufficientPrivilege():
            return (
                "this login may not become partyline_owner: PARTYLINE_DATABASE_URL must name an owner's login"
            )
        case psycopg.errors.CheckViolation() if error.diag.constraint_name is None:
            return "a month of the sample has no partition: let the keeper make it, or say another --until"
        case psycopg.errors.ForeignKeyViolation():
            return f"rows that are no sample point to it ({error.diag.constraint_name}): delete those first"
        case _:
            return f"the database refused: {error.diag.message_primary or type(error).__name__}"


def _take_turn(owner: Connection) -> None:
    if not _value(owner, "take_turn"):
        raise SampleError("sample data is being loaded or removed by somebody else: wait for that to end")


def _value(owner: Connection, name: str) -> Any:
    row = owner.execute(_SQL[name]).fetchone()
    return row[0] if row else None


def _find(owner: Connection) -> Plan | None:
    text = _value(owner, "look")
    plan = _plan_of(text) if text else None
    if text and plan is None:
        raise SampleError("the sample that is there is of another version: take it away with --remove")
    return plan


def _there(owner: Connection, kind: Kind, plan: Plan) -> set[int]:
    values: dict[str, list[int]] = {
        "tags": [],
        "missions": [],
        "doodles": [kind.count(plan), FIRST_ID + first_doodle(plan)],
    }
    rows = owner.execute(_SQL[f"there_{kind.name}"], values.get(kind.name, [kind.count(plan)]))
    return {number for (number,) in rows}


def _copied(
    kind: Kind, plan: Plan, numbers: list[int], owners: tuple[Connection, ...], stop: threading.Event
) -> Iterator[None]:
    """Copies the batches, with all owners at once; yields after each one. Ends early once `stop` is set."""
    idle: SimpleQueue[Connection] = SimpleQueue()
    for owner in owners:
        idle.put(owner)

    def work(number: int) -> bool:
        if stop.is_set():
            return False
        owner = idle.get()
        try:
            _copy(owner, kind, plan, number)
        finally:
            idle.put(owner)
        return True

    # One from the first half, one from the second: of posts these are months that have no index in common.
    half = -(-len(numbers) // 2)
    order = [n for pair in zip_longest(numbers[:half], numbers[half:]) for n in pair if n is not None]
    pool = ThreadPoolExecutor(len(owners))
    try:
        for task in as_completed([pool.submit(work, number) for number in order]):
            if task.result():
                yield
    finally:
        pool.shutdown(cancel_futures=True)


def _copy(owner: Connection, kind: Kind, plan: Plan, number: int) -> None:
    lines = kind.draw(plan, number)
    with owner.transaction(), owner.cursor() as cursor:
        if kind.name == "doodles":
            cursor.execute(_SQL["set_author_place"], ["{:.6f} {:.6f}".format(*author_place(plan, number))])
        for table, rows in lines.items():
            with cursor.copy(_SQL[f"copy_{table}"]) as copying:
                copying.write("\n".join(rows) + "\n" if rows else "")
