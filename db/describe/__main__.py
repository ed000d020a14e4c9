"""`python -m db.describe`: writes the files about the database into docs/, or says which are stale.

Of the database that PARTYLINE_DATABASE_URL names; without it, of two fresh ones, one of each kind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from db.describe import documents
from db.embedded import Stack, StackError
from db.migrate import MigrationError, upgrade

FINE, STALE, FAILED = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 for stale files with `--check`, 2 when there was nothing to describe."""
    parser = argparse.ArgumentParser(prog="python -m db.describe", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument(
        "--to", type=Path, default=documents.FOLDER, metavar="FOLDER", help="instead of docs/"
    )
    options = parser.parse_args(argv)
    names: list[str] = []
    try:
        for texts in _texts(os.environ.get("PARTYLINE_DATABASE_URL")):
            found = documents.stale if options.check else documents.write
            names += found(texts, options.to)
    except (documents.DescribeError, MigrationError, StackError) as error:
        _tell([str(error)])
        return FAILED
    if options.check:
        _tell([f"{name} is stale: run {documents.MEND}" for name in names])
        return STALE if names else FINE
    _tell([f"wrote {name}" for name in names] or ["nothing has changed"])
    return FINE


def _texts(url: str | None) -> Iterator[dict[str, str]]:
    """Of each database that is described, one after the other: a later file may look at an earlier one."""
    if url:
        yield documents.generate(url)
        return
    with tempfile.TemporaryDirectory(prefix="partyline-describe-") as folder, Stack(Path(folder)) as stack:
        for kind in documents.FILES:
            with psycopg.connect(stack.database_url, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(kind))
                )
            upgrade(stack.superuser_url(kind), partitions=kind)
            yield documents.generate(stack.superuser_url(kind))


def _tell(lines: Sequence[str]) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
