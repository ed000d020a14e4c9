"""Violations of one party: all counted, the first of each rule kept. Pure."""

from __future__ import annotations

from load_tests.run.notes import Violation

MOST = 3
"""Violations of a rule that a party lists; the others are counted."""


class Findings:
    """What was broken. `evidence` is one sentence without a place."""

    __slots__ = ("_session", "broken", "listed")

    def __init__(self, session: int) -> None:
        self._session = session
        self.broken: dict[str, int] = {}
        self.listed: list[Violation] = []

    def broke(self, rule: str, m: int, at_ms: int, evidence: str) -> None:
        """One violation: of a fix of member `m`, seen at `at_ms` (0: at the end)."""
        count = self.broken[rule] = self.broken.get(rule, 0) + 1
        if count <= MOST:
            self.listed.append(Violation(rule, self._session, m, at_ms, evidence))
