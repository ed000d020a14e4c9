"""The files about the database are what its catalogue says, and they change with it."""

from __future__ import annotations

import re
import secrets
import sys
from pathlib import Path

import psycopg
import pytest

from db import migrate
from db.address import MALFORMED
from db.describe import __main__ as command
from db.describe import access, catalogue, documents, erd
from db.describe.areas import LOOSE, UNKNOWN
from db.describe.snapshot import normalised
from db.embedded import Stack, StackFailed, dump

MATRIX, ERD, SCHEMA = "access-matrix.md", "erd.md", "schema.sql"


@pytest.fixture
def migrated(database):
    """Migrated in place: what PUBLIC may do in a database is not copied from a template."""
    migrate.upgrade(database)
    return database


def run(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def everything(url):
    """All three texts, also of a kind that has no files of its own."""
    found = catalogue.read(url)
    return {name: make(url, found) for name, make in documents.FILES["hypertable"].items()}


# --- the files in the repository -----------------------------------------------------------------------


def test_the_files_are_what_the_catalogue_says(migrated, stack):
    texts = documents.generate(migrated)
    if not isinstance(stack, Stack):
        texts.pop(SCHEMA, None)  # it is of the embedded stack's versions
    if not texts:
        pytest.skip("no file is declared for this kind of database")
    names = documents.stale(texts, documents.FOLDER)
    assert not names, f"{', '.join(names)} in docs/: run {documents.MEND}"


def test_every_table_has_an_area(migrated):
    assert erd.unplaced(catalogue.read(migrated)) == [], "give it a line in db/describe/areas.py"


def test_a_loose_relation_is_between_tables_that_are_there_and_have_no_key(migrated):
    found = catalogue.read(migrated)
    names = {table.id for table in found.tables}
    keys = {(key.relation, key.target) for key in found.keys}
    assert LOOSE
    for one in LOOSE:
        assert {f"public.{one.parent}", f"public.{one.child}"} <= names
        assert (one.child, one.parent) not in keys
        assert one.reason


# --- they see a change ---------------------------------------------------------------------------------

IN_DATABASE = "DO $do$ BEGIN EXECUTE format('{}', current_database()); END $do$"
CHANGES = {
    "column grant": (
        "GRANT SELECT (email, locale) ON users TO partyline_keeper",
        {MATRIX: "| `partyline_keeper` | SELECT | email, locale |", SCHEMA: "GRANT SELECT(email) ON TABLE"},
    ),
    "grant with grant option": (
        "GRANT DELETE ON retention_runs TO partyline_keeper WITH GRANT OPTION",
        {MATRIX: "| `partyline_keeper` | DELETE (may grant it on) | all |", SCHEMA: "WITH GRANT OPTION;"},
    ),
    "grant to everybody": (
        "GRANT TRUNCATE ON party_members TO PUBLIC",
        {MATRIX: "| `PUBLIC` | TRUNCATE | all |", SCHEMA: "GRANT TRUNCATE ON TABLE public.party_members"},
    ),
    "function for everybody": (
        "GRANT EXECUTE ON FUNCTION hold_user TO PUBLIC",
        {MATRIX: "rights of its owner (`partyline_owner`); called by `partyline_gateway`, `PUBLIC`;"},
    ),
    "policy": (
        "CREATE POLICY planted ON users AS RESTRICTIVE FOR UPDATE TO partyline_keeper USING (id > 7 OR locale = 'a||b') "
        "WITH CHECK (id < 9); COMMENT ON POLICY planted ON users IS 'A planted one'",
        {
            MATRIX: "- policy `planted` for UPDATE by `partyline_keeper`, narrowing the others (RESTRICTIVE): "
            "A planted one\n  - rows where `((id > 7) OR (locale = 'a||b'::text))`\n"
            "  - written only where `(id < 9)`",
            SCHEMA: "CREATE POLICY planted ON public.users AS RESTRICTIVE",
        },
    ),
    "row level security off": (
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        {MATRIX: "Table. Owner: `partyline_owner`. Row level security: off."},
    ),
    "row level security forced": (
        "ALTER TABLE users FORCE ROW LEVEL SECURITY",
        {MATRIX: "Row level security: on, also for the owner."},
    ),
    "a view that loses its barrier": (
        "ALTER VIEW party_positions_visible RESET (security_barrier)",
        {MATRIX: "| `party_positions_visible` | view |"},
    ),
    "a function that runs as its owner": (
        "CREATE FUNCTION planted(a integer) RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT a'",
        {
            MATRIX: "| `planted()` | function, definer, owned by `",
            SCHEMA: "CREATE FUNCTION public.planted(a integer)",
        },
    ),
    "database": (
        IN_DATABASE.format("GRANT TEMPORARY ON DATABASE %I TO partyline_backend"),
        {MATRIX: "c | c t | c | c t |"},
    ),
    "setting": (
        IN_DATABASE.format("ALTER ROLE partyline_keeper IN DATABASE %I SET row_security = off"),
        {MATRIX: "`row_security=off`"},
    ),
    "schema": (
        "CREATE SCHEMA planted AUTHORIZATION partyline_owner; CREATE TABLE planted.things (id bigint); "
        "GRANT USAGE ON SCHEMA planted TO partyline_keeper",
        {
            MATRIX: "### In schema `planted`",
            ERD: 'planted__things["planted.things"] {',
            SCHEMA: "CREATE TABLE planted.things",
        },
    ),
    "what an extension owns": (
        "GRANT UPDATE ON spatial_ref_sys TO partyline_keeper",
        {MATRIX: "| `spatial_ref_sys` | table, of postgis |"},
    ),
    "default grant": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE partyline_owner GRANT SELECT ON TABLES TO partyline_keeper",
        {MATRIX: "- tables made by `partyline_owner`: `partyline_keeper: SELECT` beside the owner"},
    ),
    "column": (
        "ALTER TABLE users ADD COLUMN planted varchar(9)[]; "
        "COMMENT ON COLUMN users.planted IS 'Somebody said \"hello\"; and more that does not fit into a diagram, for it is far too long'",
        {
            ERD: "varchar(9)[] planted \"Somebody said 'hello' (or null)\"",
            SCHEMA: "planted character varying(9)[]",
        },
    ),
    "foreign keys": (
        "CREATE TABLE planted (one bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE, "
        "many bigint NOT NULL REFERENCES users, maybe bigint REFERENCES users, single bigint UNIQUE REFERENCES users)",
        {
            ERD: 'users |o--o{ planted : "maybe"',
            SCHEMA: "ADD CONSTRAINT planted_maybe_fkey FOREIGN KEY (maybe) REFERENCES public.users(id);",
        },
    ),
    "comment": (
        "COMMENT ON TABLE party_members IS 'Planted | here'",
        {
            ERD: "- **party_members**: Planted \\| here.",
            MATRIX: "Planted \\| here",
            SCHEMA: "'Planted | here'",
        },
    ),
    "index": (
        "CREATE INDEX planted ON users (locale)",
        {SCHEMA: "CREATE INDEX planted ON public.users USING btree (locale);"},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_shows(migrated, what):
    statement, expected = CHANGES[what]
    before = everything(migrated)
    run(migrated, statement)
    after = everything(migrated)
    for name, fragment in expected.items():
        assert fragment in after[name]
        assert after[name] != before[name]
        assert fragment not in before[name] or after[name].count(fragment) > before[name].count(fragment)


def test_how_many_there_are_comes_from_null_and_unique(migrated):
    run(migrated, CHANGES["foreign keys"][0])
    lines = everything(migrated)[ERD].split(UNKNOWN)[1].splitlines()
    assert [line.strip() for line in lines if "--" in line] == [
        'users ||--o{ planted : "many"',
        'users |o--o{ planted : "maybe"',
        'users ||--o| planted : "one (cascade)"',
        'users |o--o| planted : "single"',
    ]


def test_a_stranger_with_a_grant_has_a_column(migrated):
    stranger = f"stranger_{secrets.token_hex(4)}"
    run(migrated, f"CREATE ROLE {stranger}")
    try:
        run(migrated, f"GRANT SELECT ON users TO {stranger}; GRANT partyline_keeper TO {stranger}")
        text = everything(migrated)[MATRIX]
        assert f"| {stranger} | PUBLIC |" in text
        assert f"| `{stranger}` | SELECT | all |" in text
        assert f"| `{stranger}` | `partyline_keeper` | yes | yes | no |" in text
    finally:
        run(migrated, f"DROP OWNED BY {stranger}; DROP ROLE {stranger}")


# --- they see no change where there is none ------------------------------------------------------------


def test_partitions_and_chunks_come_and_go_unseen(migrated):
    run(migrated, "CREATE TABLE planted (at timestamptz PRIMARY KEY, what text) PARTITION BY RANGE (at)")
    run(migrated, "ALTER TABLE planted OWNER TO partyline_owner; GRANT SELECT ON planted TO partyline_keeper")
    before = everything(migrated)
    assert "Partitioned by `at`" in before[ERD]
    run(
        migrated,
        "CREATE TABLE planted_p2026 PARTITION OF planted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
        "CREATE INDEX ON planted_p2026 (what);"
        "ALTER TABLE planted_p2026 OWNER TO partyline_owner;"
        "INSERT INTO party_positions (session_id, user_id, recorded_at, precision, fix_offset_ms, loc) VALUES "
        "(1, 1, date_bin('5 seconds', now(), '1970-01-01 00:00:00+00'), 'exact', 0, 'SRID=4326;POINT(1 1)')",
    )
    assert everything(migrated) == before


def test_a_grant_on_a_partition_is_told(migrated):
    run(migrated, "CREATE TABLE planted (at timestamptz PRIMARY KEY, what text) PARTITION BY RANGE (at)")
    run(migrated, "CREATE TABLE planted_rest PARTITION OF planted DEFAULT")
    untold = "- `public.planted`, by `at`: no role has a grant beyond the whole table's"
    assert untold in everything(migrated)[MATRIX]
    run(
        migrated,
        "GRANT SELECT ON planted_rest TO partyline_keeper; GRANT UPDATE (what) ON planted_rest TO PUBLIC",
    )
    text = everything(migrated)[MATRIX]
    assert untold not in text
    assert "**beyond the whole table's: `PUBLIC UPDATE (what)`, `partyline_keeper SELECT`**" in text


def test_a_new_password_moves_no_role(migrated):
    before = everything(migrated)
    for role in reversed(migrate.LOGIN_ROLES):
        migrate.set_role_passwords(migrated, {role: secrets.token_hex(8)})
    run(migrated, "ALTER DATABASE " + migrated.rpartition("/")[2] + " SET search_path = pg_catalog")
    assert everything(migrated) == before


def test_nothing_of_versions_and_tokens_is_in_the_snapshot():
    text = normalised(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped by pg_dump version 17.1\n\nSET lock_timeout = 0;\n\n"
        "--\n-- Name: b; Type: TABLE; Schema: a; Owner: c\n--\n\nSET default_tablespace = '';\n\nCREATE TABLE a.b ();\n\n\n"
        "--\n-- Name: EXTENSION d; Type: COMMENT; Schema: -; Owner: \n--\n\nCOMMENT ON EXTENSION d IS 'Edition';\n\n\n"
        '--\n-- Name: b p; Type: POLICY; Schema: a; Owner: c\n--\n\nCREATE POLICY p ON a.b TO z, "A b", y USING (true);\n\n\n'
        "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n"
    )
    assert text == (
        "-- TABLE a.b\n\nCREATE TABLE a.b ();\n\n"
        '-- POLICY a.b p\n\nCREATE POLICY p ON a.b TO "A b", y, z USING (true);\n'
    )


# --- what Mermaid takes --------------------------------------------------------------------------------

NAME = r"[A-Za-z_]\w*"
MERMAID = re.compile(
    rf"""erDiagram
    |\ {{4}}{NAME}\ (\|\||\|o)(--|\.\.)(o\||o\{{)\ {NAME}\ :\ "[^"]*"
    |\ {{4}}{NAME}(\["[^"]*"\])?(\ \{{)?
    |\ {{8}}[A-Za-z_][\w()\[\]]*\ {NAME}(\ (PK|FK|UK)(,\ (PK|FK|UK))*)?(\ "[^"]*")?
    |\ {{4}}\}}""",
    re.VERBOSE,
)


def diagrams(text):
    return re.findall(r"^```mermaid\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def assert_mermaid(text):
    assert diagrams(text)
    for diagram in diagrams(text):
        lines = diagram.splitlines()
        assert lines[0] == "erDiagram"
        assert [line for line in lines if not MERMAID.fullmatch(line)] == []
        assert sum(line.endswith(" {") for line in lines) == lines.count("    }")


def test_the_diagrams_are_mermaid():
    assert_mermaid((documents.FOLDER / ERD).read_text(encoding="utf-8"))


def test_whatever_a_name_or_a_comment_holds_stays_mermaid(migrated):
    run(
        migrated,
        'CREATE TABLE "odd table" ("9 lives" numeric(9, 2), "key" bigint REFERENCES users, "ключ" "char");'
        "CREATE TABLE nothing ();"
        'COMMENT ON COLUMN "odd table"."9 lives" IS E\'A "quote",\\n```\\n| a bar } and %% more\';',
    )
    text = everything(migrated)[ERD]
    assert_mermaid(text)
    assert "_9_lives \"A 'quote', ``` | a bar } and %% more" in text


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("Short", "Short"),
        ("", ""),
        ("The first part; " + "and a second " * 8, "The first part"),
        ("Who it is. " + "More " * 20, "Who it is"),
        ("word " * 40, ("word " * 15).strip() + "…"),
    ],
)
def test_a_long_comment_is_cut_where_it_makes_sense(comment, said):
    assert erd.shortened(comment) == said


def test_the_matrix_has_a_row_for_all_and_a_column_for_each(migrated):
    found = catalogue.read(migrated)
    text = access.document(found)
    matrix = text.partition("## Matrix")[2].partition("## Roles")[0]
    rows = [line for line in matrix.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {
        len(found.roles) + 4
    }  # name, kind, PUBLIC, and the last bar
    for table in found.tables:
        assert f"| `{table.name}` |" in matrix
        assert f"#### `{table.id}`" in text
    for function in found.functions:
        assert f"- `{function.name}` runs" in text


# --- the command ---------------------------------------------------------------------------------------


def test_check_says_what_is_stale_and_the_mend(migrated, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PARTYLINE_DATABASE_URL", migrated)
    monkeypatch.setitem(documents.FILES, "native", {MATRIX: documents.FILES["hypertable"][MATRIX]})
    assert command.main(["--check", "--to", str(tmp_path)]) == 1
    assert "access-matrix.md is stale: run make docs\n" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert command.main(["--to", str(tmp_path)]) == 0
    assert "wrote access-matrix.md\n" in capsys.readouterr().err
    assert command.main(["--check", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert command.main(["--to", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "nothing has changed\n"
    run(migrated, "GRANT SELECT ON users TO partyline_keeper")
    assert command.main(["--check", "--to", str(tmp_path)]) == 1
    assert "access-matrix.md is stale" in capsys.readouterr().err


def test_without_a_url_it_makes_its_own_database(stack, monkeypatch, capsys, tmp_path):
    if not isinstance(stack, Stack):
        pytest.skip("there is no embedded stack here")
    monkeypatch.delenv("PARTYLINE_DATABASE_URL", raising=False)
    monkeypatch.delenv("PARTYLINE_PARTITIONS", raising=False)  # the files are of a hypertable
    assert command.main(["--to", str(tmp_path)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert sorted(said) == sorted(f"wrote {one.name}" for one in tmp_path.iterdir())
    assert said


def test_a_database_that_is_not_migrated_is_refused(database, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PARTYLINE_DATABASE_URL", database)
    assert command.main(["--to", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "the database is not migrated: run partyline migrate first\n"
    migrate.upgrade(database, "0002")
    assert command.main(["--to", str(tmp_path)]) == 2
    assert f"at revision 0002, not at {documents.head()}: run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://someone:a-secret@127.0.0.1:1/nothing",
            "no connection to 127.0.0.1:1/nothing as someone: start the server, or correct PARTYLINE_DATABASE_URL",
        ),
        ("postgresql://someone:a-secret@more@127.0.0.1:x/nothing", MALFORMED),
    ],
)
def test_no_database_gets_a_sentence(monkeypatch, capsys, url, said):
    monkeypatch.setenv("PARTYLINE_DATABASE_URL", url)
    assert command.main(["--check"]) == 2
    assert capsys.readouterr().err == f"{said}\n"


def test_a_folder_that_is_not_there_gets_a_sentence(migrated, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PARTYLINE_DATABASE_URL", migrated)
    monkeypatch.setitem(documents.FILES, "native", {MATRIX: documents.FILES["hypertable"][MATRIX]})
    assert command.main(["--to", str(tmp_path / "missing")]) == 2
    assert capsys.readouterr().err.endswith("run it in a checkout, or name a folder with --to\n")


def test_pg_dump_fails_in_a_sentence_without_the_password(migrated):
    gone = migrated.rpartition("/")[0] + "/nothing"
    with pytest.raises(
        StackFailed, match=r'^pg_dump failed: .*database "nothing" does not exist\.$'
    ) as failed:
        dump.pg_dump(gone, ["--schema-only"])
    assert psycopg.conninfo.conninfo_to_dict(gone)["password"] not in str(failed.value)


def test_without_pg_dump_it_says_where_to_get_it(migrated, monkeypatch, tmp_path):
    monkeypatch.setattr("db.embedded.root.place", lambda: Path(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackFailed, match="install postgresql-client"):
        dump.pg_dump(migrated, [])


def test_the_password_goes_by_the_environment(monkeypatch):
    said = [sys.executable, "-c", "import os, sys; print(sys.argv, os.environ['PGPASSWORD'] == 'a secret')"]
    monkeypatch.setattr(dump, "_program", lambda: said)
    text = dump.pg_dump("postgresql://someone:a%20secret@127.0.0.1:1/nothing", ["--schema-only"])
    assert text.endswith("True\n")
    assert "--schema-only" in text
    assert "user=someone" in text
    assert "a secret" not in text
