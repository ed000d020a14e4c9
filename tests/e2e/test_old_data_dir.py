"""`partyline up` on the data of an older Partyline: everything is migrated and filled by itself, and works."""

from __future__ import annotations

from pathlib import Path

import psycopg

from db import backfill, migrate
from db.embedded import Stack
from tests.db.ttl_column import BEFORE, CONTRACT, OLD_SESSIONS
from tests.e2e.conftest import http, new_session, started

SESSIONS = 2_500


def test_an_old_data_directory_just_works(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        migrate.upgrade(stack.database_url, BEFORE)
        with psycopg.connect(stack.database_url, cursor_factory=psycopg.RawCursor) as connection:
            connection.execute(OLD_SESSIONS, (SESSIONS,))
    up = started(tmp_path)
    try:
        url = up.stack.database_url
        assert int(migrate.current(url) or 0) >= int(CONTRACT)
        assert all(state.finished_at for state in backfill.states(url))
        with psycopg.connect(url) as connection:
            kept = connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE options ? 'ttl_hours'), min(ttl_hours), max(ttl_hours) "
                "FROM party_sessions"
            ).fetchone()
        assert kept == (SESSIONS, 0, 1, 168)
        session = new_session(up, ttl_hours=7)
        path = f"/v1/sessions/{session['session']}"
        assert http(up, "GET", path, token=session["host"]["member_token"])[1]["options"]["ttl_hours"] == 7
    finally:
        up.stop()
