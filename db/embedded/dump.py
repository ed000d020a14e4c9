"""Runs PostgreSQL's pg_dump: the private root's where it is built, else the one of this machine.

It runs where we are and not inside the root: the root's own loader and libraries carry it, so it needs no
right and no namespace. The password goes by the environment, never by the command line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db.embedded import cluster, root
from db.embedded.errors import StackFailed


def pg_dump(url: str, options: Sequence[str]) -> str:
    """What pg_dump writes of the database. Raises `StackFailed`, without the password."""
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    password = parts.pop("password", None)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    if password is not None:
        environment["PGPASSWORD"] = password
    ended = subprocess.run(  # noqa: S603 - PostgreSQL's own program
        [*_program(), *options, "--dbname", make_conninfo(**parts)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise StackFailed(f"pg_dump failed: {said[-1].removeprefix('pg_dump: error: ')}.")
    return ended.stdout


def _program() -> list[str]:
    inside = root.place() / "root"
    program = inside / cluster.BIN.lstrip("/") / "pg_dump"
    loaders = sorted(inside.glob("usr/lib/*/ld-linux*.so.*"))
    if program.exists() and loaders:
        return [str(loaders[0]), "--library-path", str(loaders[0].parent), str(program)]
    found = shutil.which("pg_dump")
    if found is None:
        raise StackFailed(
            "There is no pg_dump here: install postgresql-client, or build the embedded stack (partyline up)."
        )
    return [str(Path(found))]
