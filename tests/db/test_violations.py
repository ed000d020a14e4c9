"""Every constraint that the backend can run into has a sentence, and every sentence has its constraint."""

from __future__ import annotations

import asyncpg

from db.violations import SENTENCES, sentence_of

RAISED = {"posts_doodle_needs_place", "posts_doodle_within_fence"}
"""By the doodle rule's trigger, as if they were constraints."""

NAMES = """
SELECT k.conname AS name FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
WHERE k.contype IN ('c', 'u', 'f', 'x') AND k.conparentid = 0 AND NOT t.relispartition
    AND t.relnamespace = 'public'::regnamespace AND has_any_column_privilege('partyline_backend', t.oid, 'INSERT, UPDATE')
UNION ALL
SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE x.indisunique AND NOT t.relispartition AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid)
    AND t.relnamespace = 'public'::regnamespace AND has_any_column_privilege('partyline_backend', t.oid, 'INSERT, UPDATE')
"""


async def test_every_constraint_of_what_the_backend_writes_has_a_sentence(
    superuser: asyncpg.Connection,
) -> None:
    names = [row["name"] for row in await superuser.fetch(NAMES)]
    assert len(names) > 50
    assert sorted(names) == sorted(set(names)), "a name of two constraints says nothing"
    assert set(names) | RAISED == set(SENTENCES)


def test_a_sentence_is_one_and_names_no_table() -> None:
    for name, sentence in SENTENCES.items():
        assert sentence[0].islower(), name
        assert not sentence.endswith("."), name
        assert "_" not in sentence, name
    assert sentence_of(None) is sentence_of("users_pkey") is None
