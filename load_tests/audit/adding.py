"""Adds up what was audited, over parties and workers. Pure."""

from __future__ import annotations

from collections import Counter

from load_tests.run.notes import Audited

MOST_LISTED = 20
"""Violations of a rule that a run lists; the others are counted."""


def add(into: Audited, other: Audited) -> None:
    """Adds `other`, which stays as it is. Notes that say the same are said once."""
    into.deliveries += other.deliveries
    into.acked_windows += other.acked_windows
    into.looked_up += other.looked_up
    into.rows += other.rows
    into.finer += other.finer
    for rule, count in other.broken.items():
        into.broken[rule] = into.broken.get(rule, 0) + count
    listed = Counter(violation.rule for violation in into.violations)
    for violation in other.violations:
        listed[violation.rule] += 1
        if listed[violation.rule] <= MOST_LISTED:
            into.violations.append(violation)
    if other.note and other.note not in into.note.split("; "):
        into.note = f"{into.note}; {other.note}" if into.note else other.note
