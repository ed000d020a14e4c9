"""Migrations: up, down and up again; reviewed SQL is what runs; a wrong server is told so and left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from db import migrate, patience
from tests.conftest import NATIVE
from tests.db.ttl_column import BEFORE, CONTRACT

SHAPE = """
SELECT 'column', table_schema || '.' || table_name || '.' || column_name,
    data_type || coalesce(column_default, '') || is_nullable
FROM information_schema.columns c WHERE table_schema = 'public'
    AND NOT (SELECT relispartition FROM pg_class WHERE oid = format('%I.%I', c.table_schema, c.table_name)::regclass)
UNION ALL SELECT 'grant', table_name || coalesce('.' || column_name, ''), grantee || privilege_type
FROM information_schema.column_privileges WHERE grantee LIKE 'partyline%'
UNION ALL SELECT 'function', p.oid::regprocedure::text, coalesce(p.proacl::text, '')
FROM pg_proc p WHERE p.proowner = 'partyline_owner'::regrole
UNION ALL SELECT 'body', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
FROM pg_proc p WHERE p.proowner = 'partyline_owner'::regrole
UNION ALL SELECT 'constraint', conrelid::regclass || conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid AND NOT c.relispartition
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'statistics', a.attrelid::regclass || '.' || a.attname, a.attstattarget::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND NOT c.relispartition
WHERE c.relnamespace = 'public'::regnamespace AND a.attstattarget = 0
UNION ALL SELECT 'chunk', range_start::text, range_end::text FROM positions_chunks()
ORDER BY 1, 2, 3
"""


RIGHT = {*migrate.EXTENSIONS, "timescaledb"}


def ask(url, sql):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def ours(url):
    return [
        name
        for (name,) in ask(
            url, "SELECT relname FROM pg_class WHERE relowner::regrole::text LIKE 'partyline%' ORDER BY 1"
        )
    ]


def test_up_down_up_comes_to_the_same(database):
    assert migrate.current(database) is None
    migrate.upgrade(database)
    head = migrate.current(database)
    assert head is not None
    first = ask(database, SHAPE)
    migrate.downgrade(database, "base")
    assert migrate.current(database) is None
    assert ours(database) == []
    migrate.upgrade(database)
    assert migrate.current(database) == head
    assert ask(database, SHAPE) == first


def test_each_step_goes_down_and_up(database):
    migrate.upgrade(database)
    for revision, below in pairwise([*migrate.known_revisions(), "base"]):
        migrate.downgrade(database, below)
        migrate.upgrade(database, revision)
        migrate.downgrade(database, below)
    assert ours(database) == []


def test_upgrading_twice_does_nothing(migrated_database):
    before = ask(migrated_database, SHAPE)
    migrate.upgrade(migrated_database)
    assert ask(migrated_database, SHAPE) == before


def test_the_reviewed_sql_makes_the_same_database(database):
    sql = migrate.review_sql()
    assert "CREATE TABLE party_positions" in sql
    assert "pg_advisory_xact_lock" in sql
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql)
    reviewed = ask(database, SHAPE)
    assert migrate.current(database) is not None
    migrate.downgrade(database, "base")
    migrate.upgrade(database)
    assert ask(database, SHAPE) == reviewed


def test_the_review_for_a_database_starts_where_it_is(database):
    migrate.upgrade(database, "0003")
    sql = migrate.review_sql(database)
    assert "CREATE TABLE party_positions" in sql
    assert "CREATE TABLE users" not in sql


def test_alembic_itself_works_from_the_checkout(database):
    root = Path(migrate.__file__).parents[1]
    alembic = [sys.executable, "-m", "alembic", "-c", "db/alembic.ini", "upgrade", "head"]
    environment = {k: v for k, v in os.environ.items() if k != "PARTYLINE_DATABASE_URL"}
    offline = subprocess.run([*alembic, "--sql"], cwd=root, env=environment, capture_output=True, check=True)
    assert offline.stdout.decode() == migrate.review_sql()
    without = subprocess.run(alembic, cwd=root, env=environment, capture_output=True, check=False)
    assert b"set PARTYLINE_DATABASE_URL" in without.stderr
    environment["PARTYLINE_DATABASE_URL"] = database
    subprocess.run(alembic, cwd=root, env=environment, capture_output=True, check=True)
    assert migrate.current(database) is not None


@pytest.mark.parametrize(
    ("version", "available", "said"),
    [
        (140_011, RIGHT, "PostgreSQL 14, but Partyline needs 15"),
        (170_000, RIGHT - {"vector"}, "no vector: install"),
        (170_000, {"timescaledb"}, "no postgis and no pg_partman and no vector and no pg_trgm"),
    ],
)
@pytest.mark.parametrize("partitions", migrate.PARTITIONS)
def test_a_wrong_server_is_told_why(version, available, said, partitions):
    assert said in migrate.refusal(version, available, partitions=partitions)


def test_a_right_server_is_not_refused():
    assert migrate.refusal(150_000, RIGHT) is None


@pytest.mark.parametrize(
    ("partitions", "kind", "said"),
    [
        ("auto", None, None),
        ("native", None, None),
        ("auto", "native", None),
        ("hypertable", None, "no timescaledb: install"),
        ("auto", "hypertable", "no timescaledb: install"),
        ("hypertable", "native", "was made as native, which stays"),
        ("native", "hypertable", "was made as hypertable, which stays"),
    ],
)
def test_timescaledb_is_needed_for_a_hypertable_only(partitions, kind, said):
    refusal = migrate.refusal(170_000, RIGHT - {"timescaledb"}, partitions=partitions, kind=kind)
    assert refusal == said or said in refusal


def test_a_library_that_is_not_loaded_is_named_with_the_mend():
    refusal = migrate.refusal(170_000, RIGHT, partitions="hypertable", loaded=False)
    assert "shared_preload_libraries" in refusal
    assert "PARTYLINE_PARTITIONS=native" in refusal
    assert migrate.refusal(170_000, RIGHT, partitions="auto", loaded=False) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MINIMUM_VERSION", 990_000, "needs 99 or newer"),
        ("EXTENSIONS", ("postgis", "no_such_extension"), "no no_such_extension"),
    ],
)
def test_a_wrong_server_is_left_as_it_was(database, monkeypatch, name, value, said):
    monkeypatch.setattr(migrate, name, value)
    with pytest.raises(migrate.MigrationError, match=said) as caught:
        migrate.upgrade(database)
    assert "\n" not in str(caught.value)
    assert ask(database, "SELECT relname FROM pg_class WHERE relname = 'alembic_version'") == []


def test_a_migration_that_fails_leaves_nothing(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE party_members (other text)")
    with pytest.raises(migrate.MigrationError, match=r"left as it was.*party_members"):
        migrate.upgrade(database)
    assert migrate.current(database) is None
    assert ours(database) == []


def test_a_table_in_use_stops_the_migration_soon(migrated_database, monkeypatch):
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 300)
    monkeypatch.setattr(patience, "ATTEMPTS", 2)
    with psycopg.connect(migrated_database, application_name="a report") as connection:
        connection.execute("SELECT count(*) FROM party_sessions")
        with pytest.raises(migrate.MigrationError) as caught:
            migrate.downgrade(migrated_database, BEFORE)
        pid = connection.info.backend_pid
    said = str(caught.value)
    assert f"left as it was: party_sessions is in use by process {pid} of " in said
    assert "(a report, in a transaction for " in said
    assert migrate.current(migrated_database) == CONTRACT


def test_a_table_that_comes_free_is_waited_for(migrated_database, monkeypatch):
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 200)
    tried = []
    monkeypatch.setattr(
        patience.time, "sleep", lambda seconds: (tried.append(seconds), connection.rollback())
    )
    with psycopg.connect(migrated_database) as connection:
        connection.execute("SELECT count(*) FROM party_sessions")
        migrate.downgrade(migrated_database, BEFORE)
    assert tried == [patience.FIRST_PAUSE_S]
    assert migrate.current(migrated_database) == BEFORE


def test_who_waits_for_a_table_stops_nobody_for_long():
    assert migrate.LOCK_TIMEOUT_MS < 1000
    assert f"lock_timeout = '{migrate.LOCK_TIMEOUT_MS}ms'" in migrate.review_sql()


def test_a_migrator_that_does_not_get_its_turn_says_so(database, monkeypatch):
    monkeypatch.setattr(migrate, "TURN_TIMEOUT_S", 1)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [migrate.ADVISORY_KEY])
        with pytest.raises(migrate.MigrationError, match="another migrator is at work"):
            migrate.upgrade(database)
    assert ours(database) == []


def test_an_unknown_revision_is_an_error(database):
    with pytest.raises(migrate.MigrationError, match="9999"):
        migrate.upgrade(database, "9999")


def test_two_migrators_of_one_database_take_turns(database):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrate_in_a_process, [database] * 4))
    assert migrate.current(database) is not None


def test_two_databases_of_one_server_migrate_at_once(database):
    with psycopg.connect(database, autocommit=True) as connection:
        own = connection.info.dbname
        name = own + "_b"
        connection.execute(f'CREATE DATABASE "{name}"')
    other = database.replace(f"/{own}", f"/{name}")
    try:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(migrate_in_a_process, [database, other]))
        assert migrate.current(other) == migrate.current(database)
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_migrator_need_not_be_a_superuser(database):
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        # What only a superuser may do beforehand: the extensions.
        connection.execute("CREATE EXTENSION postgis; CREATE EXTENSION vector")
        if not NATIVE:
            connection.execute("CREATE EXTENSION timescaledb")
        connection.execute("CREATE ROLE migrator_for_tests LOGIN CREATEROLE PASSWORD 'm'")
        try:
            for role in ("owner", "views", "gateway", "writer", "keeper", "reader"):
                connection.execute(
                    f"DO $$ BEGIN CREATE ROLE partyline_{role}; EXCEPTION WHEN duplicate_object THEN END $$;"
                    f"GRANT partyline_{role} TO migrator_for_tests WITH ADMIN OPTION"
                )
            connection.execute(f'ALTER DATABASE "{name}" OWNER TO migrator_for_tests')
            host = urlsplit(database).netloc.rpartition("@")[2]
            url = urlunsplit(urlsplit(database)._replace(netloc=f"migrator_for_tests:m@{host}"))
            migrate.upgrade(url)
            assert migrate.current(url) is not None
            migrate.downgrade(url, "base")
        finally:
            connection.execute(f'ALTER DATABASE "{name}" OWNER TO CURRENT_USER')
            connection.execute("REASSIGN OWNED BY migrator_for_tests TO CURRENT_USER")
            connection.execute("DROP OWNED BY migrator_for_tests; DROP ROLE migrator_for_tests")


def migrate_in_a_process(url):
    # Alembic's context is global to a process, so two at once are two processes.
    code = "import sys; from db import migrate; migrate.upgrade(sys.argv[1])"
    root = Path(migrate.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, url], cwd=root, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:s3cret%zz@127.0.0.1/x",
        "postgresql://someone:s3cret@127.0.0.1:s3cret/x",
        "postgresql://someone:x@s3cret@127.0.0.1/x",
        "postgresql://someone:s3cret/s3cret@127.0.0.1/x",
        "s3cret",
        "postgresql://someone:s3cret@127.0.0.1:1/x?s3cret=1",
        "postgresql://someone:s3cret@127.0.0.1:1/x",
    ],
)
def test_no_password_in_an_error(url):
    for call in (
        lambda: migrate.upgrade(url),
        lambda: migrate.current(url),
        lambda: migrate.set_role_passwords(url, {"partyline_gateway": "s3cret"}),
    ):
        with pytest.raises(migrate.MigrationError) as caught:
            call()
        assert "s3cret" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_passwords_are_only_for_our_roles(migrated_database):
    with pytest.raises(migrate.MigrationError, match="only these roles"):
        migrate.set_role_passwords(migrated_database, {"postgres": "x"})
    with pytest.raises(migrate.MigrationError, match="empty"):
        migrate.set_role_passwords(migrated_database, {"partyline_gateway": ""})


def test_a_password_reaches_the_server_as_a_verifier(migrated_database):
    migrate.set_role_passwords(migrated_database, {"partyline_keeper": "it's \\ “odd”"})
    [(stored,)] = ask(
        migrated_database, "SELECT rolpassword FROM pg_authid WHERE rolname = 'partyline_keeper'"
    )
    assert stored.startswith("SCRAM-SHA-256$")


def test_everything_has_a_comment(migrated_database):
    missing = ask(
        migrated_database,
        """
        SELECT c.relname, a.attname FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
            AND c.relnamespace::regnamespace::text NOT IN ('partman', '_timescaledb_internal')
            AND c.relowner::regrole::text LIKE 'partyline%'
            AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)
        UNION ALL
        SELECT p.proname, '' FROM pg_proc p
        WHERE p.proowner = 'partyline_owner'::regrole AND obj_description(p.oid, 'pg_proc') IS NULL
        """,
    )
    assert missing == []
