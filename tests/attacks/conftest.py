"""The table of docs/security.md: each attack's test states its metres, and the table must say the same.

`PARTYLINE_TEST_WRITE_SECURITY=1 pytest tests/attacks` writes the metres into the table instead.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import every_phone_is_closed, own_up, up

__all__ = ["every_phone_is_closed", "own_up", "up"]

SECURITY = Path(__file__).resolve().parents[2] / "docs" / "security.md"
WRITE = os.environ.get("PARTYLINE_TEST_WRITE_SECURITY", "") == "1"
TOLERANCE = 0.03
"""Draws are seeded; what differs between machines is the last bit of a cosine."""


class Security:
    """A test's row."""

    def __init__(self, test: str) -> None:
        self._test = test
        self._row = re.compile(rf"^(\|[^|]*\| )([\d,]+)( m \|[^|]*\| `{re.escape(test)}` \|)$", re.MULTILINE)

    def learns(self, metres: float) -> None:
        """What the attacker gets wrong, as the table says it."""
        text = SECURITY.read_text()
        found = self._row.search(text)
        assert found, f"docs/security.md has no row for {self._test}: it leaves {metres:.0f} m"
        if WRITE:
            SECURITY.write_text(self._row.sub(rf"\g<1>{metres:,.0f}\g<3>", text))
            return
        said = float(found[2].replace(",", ""))
        assert metres == pytest.approx(said, rel=TOLERANCE, abs=1), f"the table says {said:.0f} m"

    def stands(self, metres: float, *, at_least: float) -> None:
        """The same, and it is enough."""
        assert metres >= at_least, f"the attacker errs by {metres:.0f} m; it should be {at_least:.0f} m"
        self.learns(metres)


@pytest.fixture
def security(request: pytest.FixtureRequest) -> Security:
    """The row of the test that asks."""
    return Security(request.node.name)
