"""Alembic's way in: what it is asked for in one transaction, one migrator at a time, and never waiting long.

The URL comes from `db.migrate` or from PARTYLINE_DATABASE_URL; `--sql` needs none. Which partitions to make
comes from there or from PARTYLINE_PARTITIONS, and reaches the SQL as the setting `partyline.partitions`.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy.exc import OperationalError

from db.migrate import (
    ADVISORY_KEY,
    LOCK_TIMEOUT_MS,
    TURN_TIMEOUT_S,
    MigrationError,
    check_extensions,
    check_revision,
    check_server,
    check_word,
    engine_of,
)


def wanted_partitions() -> str:
    """auto, hypertable or native. Raises `MigrationError` for another word."""
    given = context.config.attributes.get("partitions") or os.environ.get("PARTYLINE_PARTITIONS") or "auto"
    return check_word(given)


def take_turn(partitions: str) -> None:
    """Waits for another migrator, then lets no statement wait long for a table that is in use."""
    context.execute(f"SET LOCAL partyline.partitions = '{partitions}'")
    context.execute(f"SET LOCAL lock_timeout = '{TURN_TIMEOUT_S}s'")
    context.execute(f"SELECT pg_advisory_xact_lock({ADVISORY_KEY})")
    context.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")


def run_offline() -> None:
    """Writes the SQL instead of running it."""
    context.configure(dialect_name="postgresql", transactional_ddl=True)
    with context.begin_transaction():
        take_turn(wanted_partitions())
        context.run_migrations()


def run_online() -> None:
    """Migrates the database of the URL."""
    url = context.config.attributes.get("url") or os.environ.get("PARTYLINE_DATABASE_URL")
    if not url:
        raise MigrationError("set PARTYLINE_DATABASE_URL to the database's URL")
    partitions = wanted_partitions()
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            check_server(connection, partitions)
            check_extensions(connection)
            context.configure(connection=connection, transaction_per_migration=False)
            with context.begin_transaction():
                try:
                    take_turn(partitions)
                except OperationalError:
                    raise MigrationError(
                        f"another migrator is at work for {TURN_TIMEOUT_S} s: migrate again when it is done"
                    ) from None
                check_revision(connection)  # now: the migrator before us may have been a newer one
                context.run_migrations()
            # The checks above have opened the transaction, so closing it is ours too.
            connection.commit()
    finally:
        engine.dispose()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
