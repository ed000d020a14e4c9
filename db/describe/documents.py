"""Which files there are, made from which kind of database; writing them, and finding the stale ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import unified_diff
from pathlib import Path

import psycopg
from alembic.config import Config
from alembic.script import ScriptDirectory

from db import migrate
from db.address import place
from db.describe import access, catalogue, erd, snapshot
from db.describe.catalogue import Catalogue, Kind

FOLDER = Path(__file__).parents[2] / "docs"
MEND = "make docs"

Document = Callable[[str, Catalogue], str]
"""Takes the database's URL and its catalogue."""


def _difference(url: str, found: Catalogue) -> str:
    """What a database of this kind has otherwise than docs/schema.sql says, as a unified diff."""
    there = (FOLDER / "schema.sql").read_text(encoding="utf-8").splitlines(keepends=True)
    here = snapshot.document(url, found).splitlines(keepends=True)
    return "".join(unified_diff(there, here, "schema.sql", "native"))


FILES: Mapping[Kind, Mapping[str, Document]] = {
    "hypertable": {
        "access-matrix.md": lambda _, found: access.document(found),
        "erd.md": lambda _, found: erd.document(found),
        "schema.sql": snapshot.document,
    },
    "native": {"schema-native.diff": _difference},
}
"""By how `party_positions` is partitioned. Rights and relations are the same in both."""


class DescribeError(RuntimeError):
    """Why a database was not described, in one sentence that names the mend."""


def generate(url: str) -> dict[str, str]:
    """Each file's name and text, from a database of the newest revision.

    Raises `DescribeError`; `MigrationError` and `StackFailed` where these know better.
    """
    _check_reachable(url)
    at, newest = migrate.current(url), head()
    if at != newest:
        found_at = f"at revision {at}, not at {newest}" if at else "not migrated"
        raise DescribeError(f"the database is {found_at}: run partyline migrate first")
    try:
        found = catalogue.read(url)
        return {name: make(url, found) for name, make in FILES[found.kind].items()}
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        raise DescribeError(f"the catalogue could not be read: {said}") from None


def _check_reachable(url: str) -> None:
    """A sentence that says where, before a driver can say more."""
    try:
        where = place(url)
        psycopg.connect(url, connect_timeout=10).close()
    except ValueError as error:
        raise DescribeError(str(error)) from None
    except psycopg.Error:
        raise DescribeError(
            f"no connection to {where}: start the server, or correct PARTYLINE_DATABASE_URL"
        ) from None


def head() -> str | None:
    """The newest revision that the code knows."""
    return ScriptDirectory.from_config(Config(migrate.ALEMBIC_INI)).get_current_head()


def stale(texts: Mapping[str, str], folder: Path) -> list[str]:
    """Names of the files that are missing or say something else."""
    return [
        name
        for name, text in texts.items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def write(texts: Mapping[str, str], folder: Path) -> list[str]:
    """Writes what is stale, and returns its names. Raises `DescribeError`."""
    names = stale(texts, folder)
    try:
        for name in names:
            (folder / name).write_text(texts[name], encoding="utf-8")
    except OSError as error:
        raise DescribeError(
            f"{folder} cannot be written ({error.strerror}): run it in a checkout, or name a folder with --to"
        ) from None
    return names
