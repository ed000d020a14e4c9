"""The linter of migrations bites: what would hurt a database in use is refused by name, new tables are not."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SQL = ROOT / "db" / "migrations" / "sql"
SQUAWK = Path(sysconfig.get_path("scripts")) / "squawk"
UP, DOWN = ".squawk.toml", ".squawk-down.toml"
LINTS = {UP: "db/migrations/sql/**/*.sql", DOWN: "db/migrations/sql/**/*.down.sql"}

DANGEROUS = {
    "a required column": ("ALTER TABLE users ADD COLUMN a text NOT NULL;", "adding-required-field"),
    "a required column with a volatile default": (
        "ALTER TABLE users ADD COLUMN a timestamptz NOT NULL DEFAULT clock_timestamp();",
        "adding-field-with-default",
    ),
    "a computed column": (
        "ALTER TABLE users ADD COLUMN a bigint GENERATED ALWAYS AS (id + 1) STORED;",
        "adding-field-with-default",
    ),
    "an index on a table in use": (
        "CREATE INDEX IF NOT EXISTS a ON party_positions (recorded_at);",
        "require-concurrent-index-creation",
    ),
    "what cannot run in a transaction": (
        # Alone in a file it would pass the linter; the server refuses it.
        "SET LOCAL ROLE partyline_owner; CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON users (locale);",
        "ban-concurrent-index-creation-in-transaction",
    ),
    "a foreign key that reads everything": (
        "ALTER TABLE party_sessions ADD CONSTRAINT a FOREIGN KEY (trip_id) REFERENCES users (id);",
        "adding-foreign-key-constraint",
    ),
    "a check that reads everything": (
        "ALTER TABLE users ADD CONSTRAINT a CHECK (id > 0);",
        "constraint-missing-not-valid",
    ),
    "a check that is proved in the transaction that adds it": (
        "ALTER TABLE users ADD CONSTRAINT a CHECK (id > 0) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT a;",
        "constraint-missing-not-valid",
    ),
    "a unique constraint": (
        "ALTER TABLE users ADD CONSTRAINT a UNIQUE (locale);",
        "disallowed-unique-constraint",
    ),
    "not null": ("ALTER TABLE users ALTER locale SET NOT NULL;", "adding-not-nullable-field"),
    "another type": ("ALTER TABLE users ALTER time_budget_min TYPE bigint;", "changing-column-type"),
    "another name of a column": ("ALTER TABLE users RENAME locale TO language;", "renaming-column"),
    "another name of a table": ("ALTER TABLE users RENAME TO people;", "renaming-table"),
    "an index that is made again": ("REINDEX TABLE users;", "require-concurrent-reindex"),
    "a partition that is cut off": (
        "ALTER TABLE posts DETACH PARTITION posts_p20260101;",
        "require-concurrent-partition-detach",
    ),
    "a truncation that spreads": ("TRUNCATE users CASCADE;", "ban-truncate-cascade"),
    "a commit of its own": ("COMMIT;", "transaction-nesting"),
    "a serial key": ("CREATE TABLE a (id serial PRIMARY KEY);", "prefer-identity"),
    "a time without a zone": ("CREATE TABLE a (at timestamp);", "prefer-timestamp-tz"),
}
"""Refused in both directions."""

DROPS = {
    "a dropped column": ("ALTER TABLE users DROP COLUMN locale;", "ban-drop-column"),
    "a dropped table": ("DROP TABLE users;", "ban-drop-table"),
    "a dropped function": ("DROP FUNCTION hold_user;", "ban-drop-function"),
    "a dropped index": ("DROP INDEX users_email_key;", "require-concurrent-index-deletion"),
    "a dropped constraint": (
        "ALTER TABLE users DROP CONSTRAINT users_hash_needs_email;",
        "ban-drop-constraint",
    ),
}
"""What a down may do, and an up may not."""

ACCESS = {
    "a dropped policy": ("DROP POLICY users_not_erased ON users;", "ban-drop-policy"),
    "a wider policy": ("ALTER POLICY users_not_erased ON users USING (true);", "ban-alter-policy-condition"),
    "a policy for all": ("ALTER POLICY users_not_erased ON users TO public;", "ban-alter-policy-roles"),
    "no row level security": ("ALTER TABLE users DISABLE ROW LEVEL SECURITY;", "ban-disable-trigger"),
    "a view without its barrier": (
        "ALTER VIEW party_positions_visible SET (security_barrier = false);",
        "ban-alter-view-options",
    ),
    "a function with other rights": (
        "ALTER FUNCTION hold_user SECURITY INVOKER;",
        "ban-alter-function-options",
    ),
}
"""Needs a security review, so it needs a comment that says who made it."""

NEW_TABLES = """
SET LOCAL ROLE partyline_owner;
CREATE SCHEMA raw_things;
CREATE TABLE things (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner  bigint NOT NULL REFERENCES users (id),
    rating smallint NOT NULL CONSTRAINT things_rating CHECK (rating BETWEEN 1 AND 3),
    geo    geometry(Point, 4326) NOT NULL
);
CREATE INDEX things_geo ON things USING gist (geo);
ALTER TABLE things ADD CONSTRAINT things_sane CHECK (id > 0);
ALTER TABLE things ALTER owner SET STATISTICS 0;
ALTER TABLE things ENABLE ROW LEVEL SECURITY;
CREATE POLICY things_own ON things FOR SELECT TO partyline_reader USING (owner = 1);
CREATE TABLE posts (id bigint, created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at))
    PARTITION BY RANGE (created_at);
CREATE INDEX posts_at ON posts (created_at);
CREATE TABLE posts_default PARTITION OF posts DEFAULT;
ALTER TABLE users ADD COLUMN wishes text[], ADD COLUMN level smallint NOT NULL DEFAULT 0;
ALTER TABLE party_sessions ADD CONSTRAINT party_sessions_thing FOREIGN KEY (trip_id) REFERENCES things (id) NOT VALID;
GRANT SELECT ON things TO partyline_reader;
RESET ROLE;
"""


def found(text, config):
    """The rules that a migration of this text breaks."""
    lint = subprocess.run(
        [SQUAWK, "--config", ROOT / config, "--reporter", "json", "--stdin-filepath", "9999_scratch.up.sql"],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode in (0, 1), lint.stderr
    rules = {finding["rule_name"] for finding in json.loads(lint.stdout)}
    assert bool(rules) == bool(lint.returncode)
    return rules


@pytest.mark.parametrize("config", [UP, DOWN])
@pytest.mark.parametrize("case", DANGEROUS)
def test_what_hurts_a_table_in_use_is_refused_in_both_directions(case, config):
    statement, rule = DANGEROUS[case]
    assert rule in found(statement, config)


@pytest.mark.parametrize("case", DROPS)
def test_a_drop_belongs_into_a_down(case):
    statement, rule = DROPS[case]
    assert rule in found(statement, UP)
    assert found(statement, DOWN) == set()


@pytest.mark.parametrize("case", ACCESS)
def test_who_may_see_what_is_not_changed_in_passing(case):
    statement, rule = ACCESS[case]
    assert rule in found(statement, UP)


def test_new_tables_need_no_ignores():
    assert found(NEW_TABLES, UP) == set()


def test_the_same_statements_on_a_table_that_is_there_are_refused():
    index = "CREATE INDEX things_geo ON things USING gist (geo);"
    assert index in NEW_TABLES
    assert found(index, UP) == {"require-concurrent-index-creation"}


def test_an_ignore_reaches_one_statement():
    drop = "ALTER TABLE users DROP COLUMN locale;\n"
    ignored = f"-- Nobody reads it since 0042.\n-- squawk-ignore ban-drop-column\n{drop}"
    assert found(ignored, UP) == set()
    assert found(ignored + drop, UP) == {"ban-drop-column"}


# --- what is in the repository -------------------------------------------------------------------

FILES = sorted(SQL.rglob("*.sql"))
IGNORE = re.compile(r"^[ \t]*--[ ]*squawk-\S+.*$", re.MULTILINE)


@pytest.mark.parametrize("config", [UP, DOWN])
def test_every_migration_passes(config):
    lint = subprocess.run(
        [SQUAWK, "--config", config, LINTS[config]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout
    of = [file for file in FILES if file.name.endswith(".down.sql") == (config == DOWN)]
    assert f"in {len(of)} files" in lint.stdout


def test_every_migration_is_for_one_direction():
    assert FILES
    # What lies deeper is a part of an .up.sql: one of two bodies, of which a database has one.
    top = [file.name for file in FILES if file.parent.name == "sql"]
    assert [name for name in top if not name.endswith((".up.sql", ".down.sql"))] == []


def test_make_lints_them():
    said = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"squawk '{LINTS[UP]}'" in said
    assert f"squawk --config {DOWN} '{LINTS[DOWN]}'" in said


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_ignore_is_needed_and_has_its_reason(file):
    text = file.read_text()
    config = DOWN if file.name.endswith(".down.sql") else UP
    for ignore in IGNORE.finditer(text):
        words = ignore.group().split()
        assert words[1] == "squawk-ignore", "one statement at a time, and always in the one transaction"
        assert len(words) > 2, "it names its rules"
        above = text[: ignore.start()].rstrip("\n").rpartition("\n")[2].strip()
        assert above.startswith("-- "), "the line above says why"
        assert not IGNORE.fullmatch(above)
        without = text[: ignore.start()] + text[ignore.end() :]
        assert found(without, config) == {rule.strip(",") for rule in words[2:]}
