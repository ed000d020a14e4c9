"""Grants by object and grantee, and the letters that stand for them. Knows no text around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from db.describe.catalogue import PREFIX, Catalogue, Function, Grant, Relation

LETTERS = {
    "SELECT": "r",
    "INSERT": "i",
    "UPDATE": "u",
    "DELETE": "d",
    "TRUNCATE": "T",
    "REFERENCES": "f",
    "TRIGGER": "g",
    "MAINTAIN": "m",
    "EXECUTE": "x",
    "USAGE": "U",
    "CREATE": "C",
    "CONNECT": "c",
    "TEMPORARY": "t",
}
"""In this order in every cell."""
PUBLIC = "PUBLIC"


def on_relation(catalogue: Catalogue, relation: Relation) -> list[Grant]:
    return _on(catalogue, "relation", relation.schema, relation.name)


def on_function(catalogue: Catalogue, function: Function) -> list[Grant]:
    return _on(catalogue, "function", function.schema, function.name)


def on_schema(catalogue: Catalogue, name: str) -> list[Grant]:
    return _on(catalogue, "schema", name, name)


def on_database(catalogue: Catalogue) -> list[Grant]:
    return _on(catalogue, "database", None, "database")


def _on(catalogue: Catalogue, what: str, schema: str | None, name: str) -> list[Grant]:
    return [one for one in catalogue.grants if (one.what, one.schema, one.name) == (what, schema, name)]


def readers_order(grantees: Iterable[str], catalogue: Catalogue) -> list[str]:
    """Our roles first, then others by name, PUBLIC last."""
    ours = [role.name for role in catalogue.roles]
    found = set(grantees)
    others = sorted(found - set(ours) - {PUBLIC})
    return [*(role for role in ours if role in found), *others, *([PUBLIC] if PUBLIC in found else [])]


def title(role: str) -> str:
    """A role's name as a column's head."""
    return role.removeprefix(PREFIX)


def summary(grants: Sequence[Grant], grantee: str, *, width: int = 0) -> str:
    """What one grantee may do, in letters; `width` is how many columns there are."""
    mine = [one for one in grants if one.grantee == grantee]
    letters = []
    for privilege, letter in LETTERS.items():
        whole = [one for one in mine if one.privilege == privilege and one.column is None]
        columns = {one.column for one in mine if one.privilege == privilege and one.column is not None}
        if whole:
            letters.append(letter + ("*" if any(one.grantable for one in whole) else ""))
        elif columns:
            letters.append(f"{letter}({len(columns)}/{width})")
    # A privilege of a newer PostgreSQL is shown by its name rather than not at all.
    letters += sorted({one.privilege for one in mine} - set(LETTERS))
    return " ".join(letters)


def lines(
    grants: Sequence[Grant], catalogue: Catalogue, columns: Sequence[str]
) -> list[tuple[str, str, str]]:
    """(grantee, privilege, columns): the columns in the table's order, empty where all are meant."""
    found = []
    order = [*LETTERS, *sorted({one.privilege for one in grants} - set(LETTERS))]
    for grantee in readers_order({one.grantee for one in grants}, catalogue):
        for privilege in order:
            mine = [one for one in grants if (one.grantee, one.privilege) == (grantee, privilege)]
            again = " (may grant it on)" if any(one.grantable for one in mine) else ""
            if any(one.column is None for one in mine):
                found.append((grantee, privilege + again, ""))
            named = {one.column for one in mine}
            if in_order := [column for column in columns if column in named]:
                found.append((grantee, privilege + again, ", ".join(in_order)))
    return found
