"""Fixtures of `lives.py`, for the tests of the shells."""

from tests.server.lives import life, live, party_database, role_url, superuser, writer

__all__ = ["life", "live", "party_database", "role_url", "superuser", "writer"]
