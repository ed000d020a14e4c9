"""Why a database cannot be migrated by this code: a newer Partyline was there, or an extension is too old.

Values in, a sentence out; `db.migrate` asks the database and refuses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

MINIMUM_EXTENSIONS: dict[str, tuple[int, ...]] = {
    "timescaledb": (2, 13),  # by_range() in create_hypertable
    "postgis": (3,),  # the product's base
    "vector": (0, 5),  # hnsw
    "pg_partman": (5,),  # create_parent() of declarative partitions only
    "timescaledb_toolkit": (1, 15),  # heartbeat_agg outside of its schema for experiments
}
"""The first version of each that has what our SQL uses."""


def unknown_revision(revisions: Collection[str], known: Collection[str]) -> str | None:
    """Why a database at these revisions (the rows of alembic_version) is not ours to touch, or `None`."""
    if len(revisions) > 1:
        return (
            f"the database says that it is at {' and '.join(sorted(revisions))} at once: "
            "delete the wrong row of alembic_version (nothing was changed)"
        )
    foreign = sorted(set(revisions) - set(known))
    if not foreign:
        return None
    return (
        f"the database is at revision {', '.join(foreign)}, which this Partyline does not know: "
        "use the newer one that migrated it (nothing was changed)"
    )


def outdated_extension(
    versions: Mapping[str, tuple[str | None, str | None]], wanted: Collection[str]
) -> str | None:
    """Why an extension is too old, or `None`.

    `versions`: of each the installed version, if it is, and the one that the server would install. `wanted`:
    the extensions that a migration creates where they are missing; others are no business of ours until
    somebody installs them.
    """
    for name, minimum in MINIMUM_EXTENSIONS.items():
        installed, offered = versions.get(name, (None, None))
        present = installed or (offered if name in wanted else None)
        if present is None or _number(present) >= minimum:
            continue
        needs = f"Partyline needs {'.'.join(map(str, minimum))} or newer"
        update = f"ALTER EXTENSION {name} UPDATE"
        if installed is None:
            return f"the server offers {name} {present}, but {needs}: install a newer package there"
        if offered is not None and _number(offered) >= minimum:
            return f"the database has {name} {present}, but {needs}: run `{update}` and migrate again"
        return (
            f"the database has {name} {present}, but {needs}: install a newer package on the server, run "
            f"`{update}` and migrate again"
        )
    return None


def _number(version: str) -> tuple[int, ...]:
    """`3.5.2`, `2.20.0-dev`, `3.6.0beta1`: the leading numbers."""
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading.group().split(".")) if leading else ()
