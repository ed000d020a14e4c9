"""All violations are counted, the first of each rule are kept."""

from __future__ import annotations

from load_tests.audit.findings import MOST, Findings


def test_the_first_of_each_rule() -> None:
    findings = Findings(7)
    for number in range(10):
        findings.broke("G1", 2, number, "why")
    findings.broke("order", 3, 11, "why not")
    assert findings.broken == {"G1": 10, "order": 1}
    assert [one.at_ms for one in findings.listed] == [*range(MOST), 11]
    assert {one.session for one in findings.listed} == {7}
