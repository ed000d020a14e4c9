"""Reads `queries/<noun>.sql` into a mapping from name to SQL. Knows nothing of what the SQL means.

A block starts with `-- name: find_session`, then a line or more of `--` description, then one statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "queries"
_BLOCK = re.compile(
    r"^-- name:[ ]*(\S*)[ ]*\n((?:--[^\n]*\n)*)(.*?)(?=^-- name:|\Z)", re.MULTILINE | re.DOTALL
)


class Queries(Mapping[str, str]):
    """The named statements of one file. A missing name is a `KeyError` that lists the others."""

    def __init__(self, source: str, text: str) -> None:
        """`source` is what errors call the text. Raises `ValueError` for a block that breaks the form."""
        self._source = source
        self._sql: dict[str, str] = {}
        self._descriptions: dict[str, str] = {}
        for name, description, sql in _BLOCK.findall(text):
            if not name.isidentifier() or name in self._sql:
                raise ValueError(f"{source}: a block's name must be a new identifier, not {name!r}")
            if not description.strip("- \n") or not sql.strip():
                raise ValueError(f"{source}: block {name!r} needs a description line and a statement")
            self._sql[name] = sql.strip()
            self._descriptions[name] = " ".join(line.strip("- ") for line in description.splitlines())
        if not self._sql:
            raise ValueError(f"{source}: no block begins with '-- name: …'")

    def __getitem__(self, name: str) -> str:
        try:
            return self._sql[name]
        except KeyError:
            there = ", ".join(sorted(self._sql))
            raise KeyError(f"no query {name!r} in {self._source}; there are: {there}") from None

    def description(self, name: str) -> str:
        """What the lines before a statement say of it. Raises `KeyError` as for the statement itself."""
        self[name]
        return self._descriptions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sql)

    def __len__(self) -> int:
        return len(self._sql)


def load(noun: str, folder: Path = FOLDER) -> Queries:
    """The statements of `<folder>/<noun>.sql`. Raises `FileNotFoundError`, `ValueError` if it is broken."""
    return Queries(f"{noun}.sql", (folder / f"{noun}.sql").read_text(encoding="utf-8"))
