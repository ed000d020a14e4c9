"""Faults are injected into the real processes of `tests/e2e`; the fixtures are the same."""

from __future__ import annotations

from tests.e2e.conftest import every_phone_is_closed, own_up

__all__ = ["every_phone_is_closed", "own_up"]
