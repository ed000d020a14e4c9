"""Brings a database to a revision, or shows the SQL that would. Synchronous; never half done.

A new database is made in one transaction, one that is there goes up step by step (`db.steps`), each a
transaction under an advisory lock. Every failure is a `MigrationError` of one sentence; no password is in it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from psycopg import sql
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from db.address import place
from db.compatibility import outdated_extension, unknown_revision
from db.patience import MIGRATOR, TableInUse, patiently, who_runs
from db.steps import steps

MINIMUM_VERSION = 150_000
"""PostgreSQL's `server_version_num`: 15, the product's base."""

EXTENSIONS = ("postgis", "pg_partman", "vector", "pg_trgm")
PARTITIONS = ("auto", "hypertable", "native")
"""What a new database's party_positions is made as; `auto`: a hypertable where TimescaleDB is loaded, else
native partitions. Once it is made, it stays."""

LOGIN_ROLES = tuple(
    f"partyline_{name}"
    for name in ("migrator", "gateway", "writer", "keeper", "reader", "backend", "analyst")
)

ADVISORY_KEY = 0x7061727479  # "party"
TURN_TIMEOUT_S = 60
"""How long a migrator waits for another one to finish."""
LOCK_TIMEOUT_MS = 500
"""How long a statement may wait for a table that is in use, and everybody behind it; then its transaction is
undone, and tried again a little later (`db.patience`)."""

PASSWORD_ATTEMPTS = 5

ALEMBIC_INI = Path(__file__).parent / "alembic.ini"


class MigrationError(RuntimeError):
    """Why a database was not migrated, in one sentence that names the mend. Nothing was changed."""


def engine_of(url: str) -> Engine:
    """An engine for one migration. libpq reads the URL itself, so all its forms are fine.

    Raises `MigrationError` for what is not a URL or connection string.
    """
    try:
        place(url)
    except ValueError as error:
        raise MigrationError(str(error)) from None
    connect = partial(psycopg.connect, url, application_name=MIGRATOR)
    return create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)


def check_word(partitions: str) -> str:
    """The word itself. Raises `MigrationError` when it is none of `PARTITIONS`."""
    if partitions not in PARTITIONS:
        raise MigrationError("PARTYLINE_PARTITIONS must be auto, hypertable or native")
    return partitions


def refusal(
    version_num: int,
    available: set[str],
    *,
    partitions: str = "auto",
    loaded: bool = True,
    kind: str | None = None,
) -> str | None:
    """Why this server will not do, or `None`.

    `available`: names of the extensions it could create; `loaded`: whether it has loaded TimescaleDB;
    `kind`: hypertable or native, what party_positions is already.
    """
    if version_num < MINIMUM_VERSION:
        return (
            f"the server is PostgreSQL {version_num // 10_000}, but Partyline needs "
            f"{MINIMUM_VERSION // 10_000} or newer: use another server"
        )
    if kind and partitions not in ("auto", kind):
        return (
            f"PARTYLINE_PARTITIONS is {partitions}, but this database was made as {kind}, which stays: "
            "leave it out, or migrate a new database"
        )
    hypertable = "hypertable" in (kind, partitions)
    needed = (*EXTENSIONS, "timescaledb") if hypertable else EXTENSIONS
    missing = [name for name in needed if name not in available]
    if missing:
        return f"the server has no {' and no '.join(missing)}: install the extension there and migrate again"
    if hypertable and not loaded:
        return (
            "the server has not loaded timescaledb: name it in shared_preload_libraries and restart, "
            "or set PARTYLINE_PARTITIONS=native for a new database"
        )
    return None


_LOADED = "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.disable_load')"
_KIND = (
    "SELECT CASE relkind WHEN 'p' THEN 'native' ELSE 'hypertable' END "
    "FROM pg_class WHERE oid = to_regclass('public.party_positions')"
)


def check_server(connection: Connection, partitions: str) -> None:
    """Raises `MigrationError` when the server will not do for these partitions; see `refusal`."""
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    available = connection.execute(text("SELECT name FROM pg_available_extensions")).scalars()
    reason = refusal(
        version,
        set(available),
        partitions=partitions,
        loaded=bool(connection.execute(text(_LOADED)).scalar_one()),
        kind=connection.execute(text(_KIND)).scalar_one_or_none(),
    )
    if reason:
        raise MigrationError(reason)


def check_extensions(connection: Connection) -> None:
    """Raises `MigrationError` when an extension is older than our SQL needs."""
    found = connection.execute(
        text("SELECT name, installed_version, default_version FROM pg_available_extensions")
    )
    reason = outdated_extension({name: (there, offered) for name, there, offered in found}, EXTENSIONS)
    if reason:
        raise MigrationError(reason)


def known_revisions() -> list[str]:
    """The migrations that this code has, the newest first."""
    scripts = ScriptDirectory.from_config(Config(ALEMBIC_INI))
    return [script.revision for script in scripts.walk_revisions()]


def check_revision(connection: Connection) -> None:
    """Raises `MigrationError` when the database is at a revision that this code does not know."""
    heads = MigrationContext.configure(connection).get_current_heads()
    reason = unknown_revision(heads, known_revisions())
    if reason:
        raise MigrationError(reason)


def upgrade(
    url: str,
    revision: str = "head",
    *,
    partitions: str | None = None,
    fill: Callable[[str], object] | None = None,
) -> str | None:
    """Brings the database up to the revision. Raises `MigrationError`; steps before the one that failed stay.

    `partitions`: one of `PARTITIONS`; `None`: what PARTYLINE_PARTITIONS says, or `auto`. On the way to `head`
    it stops before a step that takes away what connected processes may use, and returns a sentence that says
    so. `fill` runs a backfill by its name: given where no other process runs, and then nothing is waited for.
    """
    reached = start = current(url)
    for step in steps(Config(ALEMBIC_INI), start, revision):
        running = who_runs(url) if step.contracts and revision == "head" and fill is None else []
        if running:
            return (
                f"{step.revision} takes away what an older Partyline uses, and connected are "
                f"{', '.join(running)}: once none of them is older, `partyline migrate --to {step.revision}`"
            )
        try:
            if fill is not None:
                for name in step.needs_backfill:
                    fill(name)
            _run(url, partial(command.upgrade, revision=step.revision), partitions)
        except MigrationError as error:
            came = f"the database came to revision {reached}, then " if reached != start else ""
            raise MigrationError(f"{came}{error}") from None
        reached = step.revision
    return None


def downgrade(url: str, revision: str) -> None:
    """Takes the database down to the revision (`base`: nothing of ours is left). Raises `MigrationError`."""
    _run(url, lambda config: command.downgrade(config, revision))


def review_sql(
    url_or_dialect: str = "postgresql", revision: str = "head", *, partitions: str | None = None
) -> str:
    """The SQL that an upgrade would run, for review: what `alembic upgrade --sql` writes.

    Of an empty database for the word `postgresql`; of a given database, from where it is now, for a URL.
    With `auto` partitions it decides wherever it is run. Raises `MigrationError`.
    """
    start = None if url_or_dialect == "postgresql" else current(url_or_dialect)
    written = io.StringIO()
    config = Config(ALEMBIC_INI, output_buffer=written)
    config.attributes["partitions"] = partitions
    try:
        for step in steps(config, start, revision):
            command.upgrade(config, f"{start}:{step.revision}" if start else step.revision, sql=True)
            start = step.revision
    except CommandError as error:
        raise MigrationError(str(error)) from None
    return written.getvalue()


def current(url: str) -> str | None:
    """The revision a database is at; `None` before the first. Raises `MigrationError`, also for one that this
    code does not know."""
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            check_revision(connection)
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise MigrationError(_sentence(error)) from None
    except CommandError as error:
        raise MigrationError(str(error)) from None
    finally:
        engine.dispose()


def set_role_passwords(url: str, passwords: Mapping[str, str]) -> None:
    """Gives our login roles their passwords: `{"partyline_gateway": "…", …}`.

    Only the SCRAM verifier travels, so that no server log has a password. Raises `MigrationError` for a
    role that is not ours, an empty password, and what the server refuses.
    """
    unknown = sorted(set(passwords) - set(LOGIN_ROLES))
    if unknown:
        raise MigrationError(f"only these roles have a password: {', '.join(LOGIN_ROLES)}")
    if not all(passwords.values()):
        raise MigrationError("a password must not be empty")
    for attempt in range(1, PASSWORD_ATTEMPTS + 1):
        try:
            _alter_roles(url, passwords)
            return
        except psycopg.errors.InternalError_:
            # Roles are the whole server's: somebody else altered the same one ("concurrently updated").
            if attempt == PASSWORD_ATTEMPTS:
                raise MigrationError("the roles are being altered by somebody else: try again") from None
        except psycopg.Error as error:
            raise MigrationError(_sentence(error)) from None


def _alter_roles(url: str, passwords: Mapping[str, str]) -> None:
    engine_of(url).dispose()  # refuses a malformed URL before the driver can repeat it
    with psycopg.connect(url) as connection:
        for role in sorted(passwords):
            verifier = connection.pgconn.encrypt_password(
                passwords[role].encode(), role.encode(), b"scram-sha-256"
            )
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(verifier.decode())
                )
            )


def _run(url: str, step: Callable[[Config], None], partitions: str | None = None) -> None:
    config = Config(ALEMBIC_INI)
    config.attributes |= {"url": url, "partitions": partitions}
    try:
        patiently(url, lambda: step(config), _timed_out)
    except (DBAPIError, psycopg.Error) as error:
        raise MigrationError(_sentence(error)) from None
    except TableInUse as error:
        raise MigrationError(f"the database was left as it was: {error}") from None
    except CommandError as error:
        raise MigrationError(str(error)) from None


def _timed_out(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.errors.LockNotAvailable)


def _sentence(error: DBAPIError | psycopg.Error) -> str:
    """What the server said, without the statement, its values or a traceback."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = ""
    if isinstance(cause, psycopg.Error):
        said = cause.diag.message_primary or str(cause).strip().splitlines()[-1]
    return f"the database was left as it was: {said or type(cause).__name__}"
