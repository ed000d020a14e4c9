"""Faults are injected into the real processes of `tests/e2e`, or of a `Fleet`; each run has a seed.

PARTYLINE_CHAOS_SEED=7          the same faults again
PARTYLINE_TEST_CHAOS=full       the full size; by hand
"""

from __future__ import annotations

import os
import secrets

import pytest
import typer

from tests.e2e.conftest import every_phone_is_closed, own_up

__all__ = ["every_phone_is_closed", "own_up"]

FULL = os.environ.get("PARTYLINE_TEST_CHAOS") == "full"


@pytest.fixture
def seed() -> int:
    """Of the run: told, so that a failed one can be had again."""
    chosen = int(os.environ.get("PARTYLINE_CHAOS_SEED") or secrets.randbelow(1_000_000))
    typer.echo(f"PARTYLINE_CHAOS_SEED={chosen}")
    return chosen
