"""Backfills: in batches, each row once, whatever ends a run; and everything asked wrongly is a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from db import backfill, migrate
from server.backfill_command import line
from tests.db.ttl_column import BEFORE, EXPAND, OLD_SESSIONS

ROOT = Path(backfill.__file__).parents[1]
ROWS = 1000

WATCHED = """
CREATE TABLE written (id bigint);
CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO written VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER note_written AFTER UPDATE ON party_sessions FOR EACH ROW EXECUTE FUNCTION note_written();
"""


def ask(url, sql, *values):
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def expanded(database):
    """A database with sessions from before the column, which notes each time one is written."""
    migrate.upgrade(database, BEFORE)
    ask(database, OLD_SESSIONS, ROWS)
    migrate.upgrade(database, EXPAND)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(WATCHED)
    return database


def command(url, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PARTYLINE_")}
    environment["PARTYLINE_DATABASE_URL"] = url
    return subprocess.Popen(
        [sys.executable, "-m", "server.cli", "backfill", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(url, *arguments, code=0):
    process = command(url, *arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def assert_each_row_once(url):
    assert ask(url, "SELECT count(*), count(DISTINCT id) FROM written") == [(ROWS, ROWS)]
    wrong = "SELECT count(*) FROM party_sessions WHERE ttl_hours IS DISTINCT FROM (options ->> 'ttl_hours')::integer"
    assert ask(url, wrong) == [(0,)]


def until_under_way(url):
    while not ask(url, "SELECT 1 FROM backfills WHERE done_rows > 0"):
        time.sleep(0.02)


def test_it_goes_in_batches_and_tells_how_far_it_is(expanded):
    heard = []
    state = backfill.run(expanded, "ttl_hours", batch=300, pause_ms=0, tell=heard.append)
    assert [one.done_rows for one in heard] == [0, 300, 600, 900, 1000, 1000]
    assert state.finished_at is not None
    assert (state.done_rows, state.total_rows) == (ROWS, ROWS)
    assert_each_row_once(expanded)
    again = backfill.run(expanded, "ttl_hours")
    assert again == state


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_where_it_was(expanded, stop):
    process = command(expanded, "ttl_hours", "--batch", 10, "--pause-ms", 20)
    until_under_way(expanded)
    process.send_signal(stop)
    output, _ = process.communicate(timeout=30)
    if stop == signal.SIGKILL:
        assert process.returncode == -9
    else:
        assert process.returncode == 130, output
        assert output.endswith("partyline: stopped; the same command goes on where it was\n")
        assert "Traceback" not in output
    [(done,)] = ask(expanded, "SELECT done_rows FROM backfills")
    assert 0 < done < ROWS
    output = said(expanded, "ttl_hours", "--pause-ms", 0)
    assert "1,000 of 1,000 rows" in output
    assert_each_row_once(expanded)


def test_two_at_once_take_turns(expanded):
    both = [command(expanded, "ttl_hours", "--batch", 10, "--pause-ms", 1) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "finished" in output
    assert_each_row_once(expanded)


def test_what_others_write_meanwhile_is_theirs(expanded):
    stop = threading.Event()

    def others():
        with psycopg.connect(expanded, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(
                    "UPDATE party_sessions SET options = jsonb_set(options, '{ttl_hours}', '5') "
                    "WHERE id = (SELECT id FROM party_sessions ORDER BY random() LIMIT 1)"
                )

    thread = threading.Thread(target=others)
    thread.start()
    try:
        backfill.run(expanded, "ttl_hours", batch=20, pause_ms=1)
    finally:
        stop.set()
        thread.join()
    wrong = "SELECT count(*) FROM party_sessions WHERE ttl_hours IS DISTINCT FROM (options ->> 'ttl_hours')::integer"
    assert ask(expanded, wrong) == [(0,)]


def test_a_row_that_is_held_is_waited_for_and_then_told(expanded, monkeypatch):
    monkeypatch.setattr(backfill, "LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(backfill, "RETRY_PAUSE_S", 0.01)
    with psycopg.connect(expanded) as holder:
        holder.execute("SELECT id FROM party_sessions WHERE sharable_token = sha256('old 501') FOR UPDATE")
        with pytest.raises(backfill.BackfillError, match="held by another transaction at 20 attempts"):
            backfill.run(expanded, "ttl_hours", batch=100, pause_ms=0)
    assert ask(expanded, "SELECT done_rows FROM backfills") == [(500,)]
    backfill.run(expanded, "ttl_hours", pause_ms=0)
    assert_each_row_once(expanded)


def test_rows_that_turn_up_after_the_end_are_done_too(expanded):
    backfill.run(expanded, "ttl_hours")
    with psycopg.connect(expanded, autocommit=True) as connection:
        connection.execute("ALTER TABLE party_sessions DISABLE TRIGGER ALL")
        connection.execute("ALTER TABLE party_sessions DROP CONSTRAINT party_sessions_ttl_present")
        connection.execute("UPDATE party_sessions SET ttl_hours = NULL WHERE id % 10 = 0")
        connection.execute("ALTER TABLE party_sessions ENABLE TRIGGER ALL")
    state = backfill.run(expanded, "ttl_hours")
    assert (state.done_rows, state.total_rows) == (ROWS // 10, ROWS // 10)
    assert ask(expanded, "SELECT count(*) FROM party_sessions WHERE ttl_hours IS NULL") == [(0,)]


def test_the_list_says_how_far_each_one_is(expanded):
    assert said(expanded, "--list") == "ttl_hours: nobody has run it\nttl_hours_key: nobody has run it\n"
    said(expanded, "ttl_hours")
    listed = said(expanded, "--list")
    assert listed.startswith("ttl_hours: finished 20")
    assert "1,000 of 1,000 rows\nttl_hours_key: nobody has run it\n" in listed


def test_a_state_is_one_line(expanded):
    backfill.run(expanded, "ttl_hours", batch=10)
    with psycopg.connect(expanded, autocommit=True) as connection:
        connection.execute("UPDATE backfills SET finished_at = NULL, done_rows = 70")
    [state, _] = backfill.states(expanded)
    assert line(state).startswith("ttl_hours: 70 of 1,000 rows, since 20")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no_such"], "partyline: there is no such backfill; there are: ttl_hours, ttl_hours_key"),
        ([], "partyline: name a backfill: ttl_hours, ttl_hours_key"),
        (["../queries/users"], "partyline: there is no such backfill"),
        (["ttl_hours", "--batch", "0"], "Invalid value for '--batch'"),
    ],
)
def test_what_is_asked_wrongly_is_a_sentence_and_2(database, arguments, sentence):
    assert sentence in said(database, *arguments, code=2)


def test_without_the_migration_it_says_so(database):
    assert "run `partyline migrate` first" in said(database, "ttl_hours", code=1)
    assert "run `partyline migrate` first" in said(database, "--list", code=1)


def test_another_login_is_told_which_to_take(role_url):
    with pytest.raises(backfill.BackfillError, match="take the one that migrates, partyline_migrator"):
        backfill.run(role_url("gateway"), "ttl_hours")


def test_the_migrators_login_is_enough(role_url):
    assert backfill.run(role_url("migrator"), "ttl_hours").finished_at is not None
    assert [state.name for state in backfill.states(role_url("migrator"))] == backfill.names()


@pytest.mark.parametrize(
    "url", ["s3cret", "postgresql://a:s3cret%zz@127.0.0.1/x", "postgresql://a:s3cret@127.0.0.1:1/x"]
)
def test_no_password_in_an_error(url):
    with pytest.raises(backfill.BackfillError) as caught:
        backfill.run(url, "ttl_hours")
    assert "s3cret" not in str(caught.value)


def test_numbers_out_of_range_are_refused(database):
    with pytest.raises(ValueError, match="at least 1 row"):
        backfill.run(database, "ttl_hours", batch=0)


@pytest.mark.parametrize("name", backfill.names())
def test_every_statement_works_on_the_newest_schema_too(migrated_database, name):
    assert backfill.run(migrated_database, name).finished_at is not None
