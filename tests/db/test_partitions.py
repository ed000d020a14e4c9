"""Hypertable or native partitions: chosen once, when migrating; the database knows from then on which it is."""

from __future__ import annotations

import psycopg
import pytest

from db import migrate
from tests.db.test_migrate import SHAPE, ask, ours

KINDS = ("hypertable", "native")


@pytest.fixture(autouse=True)
def nobody_else_chooses(monkeypatch):
    monkeypatch.delenv("PARTYLINE_PARTITIONS", raising=False)


def extensions(url):
    return {name for (name,) in ask(url, "SELECT extname FROM pg_extension")}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_chosen_stays(database, kind):
    migrate.upgrade(database, partitions=kind)
    assert ask(database, "SELECT positions_kind()") == [(kind,)]
    assert ("timescaledb" in extensions(database)) == (kind == "hypertable")
    migrate.upgrade(database, partitions="auto")
    [other] = set(KINDS) - {kind}
    with pytest.raises(migrate.MigrationError, match=f"was made as {kind}, which stays"):
        migrate.upgrade(database, partitions=other)
    assert ask(database, "SELECT positions_kind()") == [(kind,)]


@pytest.mark.parametrize("kind", KINDS)
def test_auto_goes_on_with_what_is_there(database, kind):
    migrate.upgrade(database, "0004", partitions=kind)
    migrate.upgrade(database, partitions="auto")
    assert ask(database, "SELECT positions_kind()") == [(kind,)]


def test_auto_is_a_hypertable_where_timescaledb_is_loaded(database):
    migrate.upgrade(database, partitions="auto")
    assert ask(database, "SELECT positions_kind()") == [("hypertable",)]


def test_timescaledb_in_the_database_chooses_nothing(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION timescaledb")
    migrate.upgrade(database, partitions="native")
    assert ask(database, "SELECT positions_kind()") == [("native",)]


@pytest.mark.parametrize("word", ["monthly", "Native", "native'; DROP TABLE users; --"])
def test_another_word_is_refused(database, word):
    for call in (
        lambda: migrate.upgrade(database, partitions=word),
        lambda: migrate.review_sql(partitions=word),
    ):
        with pytest.raises(migrate.MigrationError, match="must be auto, hypertable or native"):
            call()
    assert migrate.current(database) is None


def test_the_sql_refuses_another_word_too(database):
    sql = migrate.review_sql().replace("partyline.partitions = '", "partyline.partitions = 'x")
    with (
        psycopg.connect(database, autocommit=True) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="must be auto, hypertable or native"),
    ):
        connection.execute(sql)
    assert ours(database) == []


def test_the_environment_chooses_where_nobody_else_does(database, monkeypatch):
    monkeypatch.setenv("PARTYLINE_PARTITIONS", "native")
    assert "partyline.partitions = 'native'" in migrate.review_sql()
    migrate.upgrade(database)
    assert ask(database, "SELECT positions_kind()") == [("native",)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_reviewed_sql_makes_the_same_database_of_each_kind(database, kind):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(migrate.review_sql(partitions=kind))
    reviewed = ask(database, SHAPE)
    assert ask(database, "SELECT positions_kind()") == [(kind,)]
    migrate.downgrade(database, "base")
    assert ours(database) == []
    migrate.upgrade(database, partitions=kind)
    assert ask(database, SHAPE) == reviewed


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_database_comes_to_the_shape_of_a_new_one(database, kind):
    migrate.upgrade(database, "0006", partitions=kind)
    migrate.upgrade(database)
    older = ask(database, SHAPE)
    migrate.downgrade(database, "base")
    migrate.upgrade(database, partitions=kind)
    assert ask(database, SHAPE) == older


@pytest.mark.parametrize("kind", KINDS)
def test_rows_survive_the_seam_s_down_and_up(database, kind):
    migrate.upgrade(database, partitions=kind)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO party_positions (session_id, user_id, recorded_at, fix_offset_ms, loc, precision) "
            "VALUES (1, 1, date_bin('5 seconds', now(), 'epoch'), 0, ST_SetSRID(ST_MakePoint(0, 0), 4326), 'rough')"
        )
    shape = ask(database, SHAPE)
    migrate.downgrade(database, "0006")
    migrate.upgrade(database)
    assert ask(database, SHAPE) == shape
    assert ask(database, "SELECT count(*) FROM party_positions") == [(1,)]


def test_pg_partman_in_another_schema_stops_the_migration(database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_partman SCHEMA public")
    with pytest.raises(migrate.MigrationError, match="needs it in the schema partman"):
        migrate.upgrade(database)
    assert ours(database) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_months_gets_its_partitions_and_no_private_statistics(database, kind):
    """As later migrations register theirs, on both kinds."""
    migrate.upgrade(database, partitions=kind)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            """
            SET ROLE partyline_owner;
            CREATE TABLE told (id bigint, at timestamptz NOT NULL, body text) PARTITION BY RANGE (at);
            ALTER TABLE told ALTER body SET STATISTICS 0;
            SELECT partman.create_parent('public.told', 'at', '1 month', p_premake => 2, p_default_table => false,
                p_template_table => 'false', p_jobmon => false);
            UPDATE partman.part_config SET infinite_time_partitions = true, premake = 5
            WHERE parent_table = 'public.told';
            """
        )
    ahead = (
        "SELECT count(*) FROM generate_series(0, 5) n WHERE EXISTS (SELECT FROM pg_inherits i "
        "WHERE i.inhparent = 'told'::regclass AND i.inhrelid = to_regclass("
        "'told_p' || to_char(date_trunc('month', now(), 'UTC') + n * INTERVAL '1 month', 'YYYYMMDD')))"
    )
    private = (
        "SELECT count(*), count(*) FILTER (WHERE a.attstattarget = 0) FROM pg_inherits i "
        "JOIN pg_attribute a ON a.attrelid = i.inhrelid AND a.attname = 'body' "
        "WHERE i.inhparent = 'told'::regclass"
    )
    assert ask(database, ahead) == [(3,)]
    ask(database, "SELECT make_partitions_ahead()")
    assert ask(database, ahead) == [(6,)]
    [(there, without)] = ask(database, private)
    assert there == without
    ask(database, "SELECT make_partitions_ahead()")
    assert ask(database, private) == [(there, there)]
