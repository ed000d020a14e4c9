"""docs/security.md is kept true: what it names is there, and each line with metres is checked by its test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.attacks.conftest import SECURITY

TESTS = Path(__file__).resolve().parents[1]


def test_each_test_that_is_named_exists() -> None:
    sources = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)(?:\[[^]`]*\])?`", SECURITY.read_text())
    assert len(named) > 40
    assert not [name for name in named if f"def {name}(" not in sources]


def test_each_line_with_metres_is_measured_by_its_test() -> None:
    lines = [line for line in SECURITY.read_text().splitlines() if re.search(r"\| [\d,]+ m \|", line)]
    measured = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for line in lines:
        found = re.search(r"\| `(test_\w+)(\[[\w-]+\])?` \|$", line)
        assert found, f"this line names no test at its end: {line}"
        assert re.search(rf"def {found[1]}\([^)]*security: Security", measured), (
            f"{found[1]} checks no metres"
        )
    assert len(lines) >= 25


def test_each_attack_that_states_metres_has_its_line() -> None:
    text = SECURITY.read_text()
    for path in Path(__file__).parent.glob("test_*.py"):
        for name in re.findall(r"def (test_\w+)\([^)]*security: Security", path.read_text()):
            assert f"`{name}`" in text or f"`{name}[" in text
