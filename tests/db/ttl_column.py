"""The three revisions of the change that is shown, found by their names: numbers may move."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from db.migrate import ALEMBIC_INI

_SCRIPTS = list(ScriptDirectory.from_config(Config(ALEMBIC_INI)).walk_revisions())


def _named(name: str):
    (script,) = [script for script in _SCRIPTS if script.path.endswith(f"_{name}.py")]
    return script


BEFORE = _named("ttl_column_expand").down_revision
EXPAND = _named("ttl_column_expand").revision
SWITCH = _named("ttl_column_switch").revision
CONTRACT = _named("ttl_column_contract").revision

OLD_SESSIONS = """
WITH host AS (INSERT INTO users (location_opt_in) VALUES (true) RETURNING id)
INSERT INTO party_sessions (host_user_id, started_at, sharable_token, precision, options)
SELECT host.id, now() - INTERVAL '1 hour', sha256(('old ' || n)::bytea), 'exact',
    jsonb_build_object('ttl_hours', n % 168 + 1, 'tick_ms', 1000)
FROM host, generate_series(1, $1::integer) AS n
"""
"""$1 sessions as processes of before have made them."""
