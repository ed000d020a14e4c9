"""What parties and workers found adds up; the list is bounded, the count is not."""

from __future__ import annotations

from load_tests.audit.adding import MOST_LISTED, add
from load_tests.run.notes import Audited, Violation


def found(rule: str, count: int = 1, note: str = "") -> Audited:
    violations = [Violation(rule, 7, 2, 5, "why")] * min(count, 3)
    return Audited(5, 4, 3, 2, violations, {rule: count}, note)


def test_everything_is_added() -> None:
    total = Audited()
    add(total, found("G1"))
    add(total, found("order", 5, note="no database"))
    add(total, found("G1", 2, note="no database"))
    add(total, Audited(note="another"))
    assert (total.deliveries, total.acked_windows, total.looked_up, total.rows) == (15, 12, 9, 6)
    assert total.broken == {"G1": 3, "order": 5}
    assert [one.rule for one in total.violations].count("order") == 3
    assert total.note == "no database; another"


def test_the_list_is_bounded_by_rule() -> None:
    total, other = Audited(), found("G1", 9)
    for _ in range(100):
        add(total, other)
    add(total, found("delay"))
    assert total.broken == {"G1": 900, "delay": 1}
    assert len(total.violations) == MOST_LISTED + 1
    assert len(other.violations) == 3
