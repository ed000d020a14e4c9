"""Named SQL: every block has a name and a description, and a wrong name says which are right."""

from __future__ import annotations

import pytest

from db import queries

WORDS = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "COPY", "SET", "VACUUM"}


@pytest.mark.parametrize("file", sorted(queries.FOLDER.glob("*.sql")), ids=lambda file: file.stem)
def test_every_file_loads(file):
    loaded = queries.load(file.stem)
    assert len(loaded) == file.read_text().count("-- name:")
    assert all(sql.split()[0] in WORDS for sql in loaded.values())


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(KeyError, match=r"no query 'fnid' in sessions.sql; there are: .*find"):
        queries.load("sessions")["fnid"]


def test_a_missing_file_is_an_error():
    with pytest.raises(FileNotFoundError):
        queries.load("nothing")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1",
        "-- name: a\nSELECT 1",
        "-- name: a\n-- \nSELECT 1",
        "-- name: a\n-- what for\n",
        "-- name: not a name\n-- what for\nSELECT 1",
        "-- name: a\n-- one\nSELECT 1\n-- name: a\n-- two\nSELECT 2",
    ],
)
def test_a_block_that_breaks_the_form_is_refused(text):
    with pytest.raises(ValueError, match="broken"):
        queries.Queries("broken", text)


def test_blocks_keep_their_comments_and_their_order():
    text = "-- top\n\n-- name: one\n-- first\nSELECT 1 -- why\n\n-- name: two\n-- second\nSELECT 2\n"
    loaded = queries.Queries("x", text)
    assert dict(loaded) == {"one": "SELECT 1 -- why", "two": "SELECT 2"}


def test_what_a_block_says_of_itself_is_one_line():
    loaded = queries.Queries("t.sql", "-- name: one\n-- First line,\n-- and second\nSELECT 1\n")
    assert loaded.description("one") == "First line, and second"
    with pytest.raises(KeyError, match="there are: one"):
        loaded.description("two")
