"""Which migrations an upgrade goes through one by one, and what each needs. Reads versions, runs nothing.

A database that holds rows is migrated step by step, each in a transaction of its own, so that no lock is held
longer than one step needs it, and so that one step can wait for a backfill or a deploy without undoing those
before. A new database is made in one.
"""

from __future__ import annotations

from typing import NamedTuple

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError


class Step(NamedTuple):
    """One transaction: up to a revision. A version file may set `needs_backfill` and `contracts`."""

    revision: str
    needs_backfill: tuple[str, ...] = ()
    """Backfills that must be finished before it; it refuses otherwise."""
    contracts: bool = False
    """Whether it takes away what processes of before still use."""


def steps(config: Config, current: str | None, target: str) -> list[Step]:
    """The steps from where a database is. What is in no line with it is one step: Alembic refuses it."""
    if current is None:
        return [Step(target)]
    try:
        found = list(ScriptDirectory.from_config(config).walk_revisions(current, target))
    except CommandError:
        return [Step(target)]
    pending = [
        Step(
            script.revision,
            tuple(getattr(script.module, "needs_backfill", ())),
            bool(getattr(script.module, "contracts", False)),
        )
        for script in reversed(found)
        if script.revision != current
    ]
    return pending or [Step(target)]  # which does nothing, but is looked at like any other
