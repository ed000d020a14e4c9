"""The pull request template asks what section 10 of the database's guide wants, and what a migration needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEMPLATE = (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")
PARTS = {
    title: " ".join(text.split())
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEMPLATE, re.MULTILINE | re.DOTALL)
}

ASKED = {
    "Every migration": (
        *("expand, backfill, deploy or contract", "locks", "how long", "down"),
        *("partyline migrate --sql", "alembic -c db/alembic.ini upgrade", "squawk-ignore"),
    ),
    "A new table": ("ERD", "DDL", "backend's model and serialiser"),
    "A new GIST or GIN index": ("analytics queries", "Storage cost"),
    "A changed ETL DAG": ("Catch-up strategy", "dates will be missing"),
    "A change to row level security, a view, a grant or a SECURITY DEFINER function": (
        "Security review",
        "access matrix",
        "current",
    ),
    "A mass deletion or a dropped partition": ("before and after as metrics", "Recovery plan"),
}


@pytest.mark.parametrize("part", ASKED)
def test_each_part_asks_its_questions(part: str) -> None:
    assert [phrase for phrase in ASKED[part] if phrase not in PARTS[part]] == []


def test_nothing_is_asked_that_this_list_does_not_know() -> None:
    assert list(PARTS) == list(ASKED)
