"""Fixtures of `tests/server/lives.py`."""

from tests.server.lives import party_database

__all__ = ["party_database"]
