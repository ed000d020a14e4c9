"""`partyline sample-data`: help, progress in plain lines, Ctrl-C and going on, one sentence for what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psycopg

PROGRAM = "import typer; from db.sample.command import sample_data; typer.run(sample_data)"
SMALL = ("--places", "400", "--posts", "1000", "--users", "50", "--trips", "30", "--vectors", "5")


def start(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=os.environ | {"PARTYLINE_DATABASE_URL": url, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(url: str, *arguments: str) -> tuple[int, str]:
    process = start(url, *arguments)
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err
    return process.returncode, out + err


def test_help_has_examples():
    code, said = run("", "--help")
    assert code == 0
    assert "partyline sample-data --remove" in said


def test_it_loads_tells_how_far_it_is_and_does_nothing_the_second_time(migrated_database):
    code, said = run(migrated_database, *SMALL)
    assert code == 0, said
    assert "there are 400 places and 1,000 posts" in said
    assert "100 %" in said
    assert 3 <= len(said.splitlines()) <= 12, "plain lines, and few"
    assert run(migrated_database, *SMALL)[0] == 0
    code, said = run(migrated_database, *SMALL, "--seed", "9")
    assert code == 1
    assert "--remove" in said
    assert run(migrated_database, "--remove")[0] == 0
    with psycopg.connect(migrated_database) as connection:
        assert connection.execute("SELECT count(*) FROM posts").fetchone() == (0,)


def test_ctrl_c_leaves_whole_batches_and_the_same_command_goes_on(migrated_database):
    many = ("--places", "300", "--posts", "60000", "--users", "50", "--trips", "30", "--vectors", "0")
    process = start(migrated_database, *many)
    assert process.stderr is not None
    for line in process.stderr:
        if "posts" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, out + err
    assert "goes on from here" in err
    assert "Traceback" not in err
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        [there] = connection.execute("SELECT count(*) FROM posts").fetchone() or (0,)
        assert there % 10_000 == 0
        assert there < 60_000
        code, said = run(migrated_database, *many)
        assert code == 0, said
        assert connection.execute("SELECT count(*) FROM posts WHERE type = 'review'").fetchone() == (60_000,)


def test_what_is_wrong_is_one_sentence(database):
    for url, arguments, wanted, words in (
        ("", SMALL, 2, "PARTYLINE_DATABASE_URL is not set"),
        ("nonsense-s3cret", SMALL, 1, "postgresql"),
        ("postgresql://me:s3cret@127.0.0.1:1/x", SMALL, 1, "is it running"),
        (database, SMALL, 1, "partyline migrate"),
        (database, ("--places", "0"), 2, "--places"),
        (database, ("--until", "yesterday"), 2, "--until"),
    ):
        code, said = run(url, *arguments)
        assert code == wanted, said
        assert words in said
        assert "s3cret" not in said
