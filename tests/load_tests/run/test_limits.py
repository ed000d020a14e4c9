"""The limit of open files is raised, or the crowd is told what to do. In a process of its own: it stays."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource, sys
from load_tests.cannot_start import CannotStart
from load_tests.run.limits import make_room
soft, hard, phones = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    make_room(phones)
except CannotStart as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def room(soft: int, hard: int, phones: int) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(phones)],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.splitlines()


def test_the_soft_limit_is_raised_as_far_as_needed() -> None:
    assert room(200, 900, 500) == ["600"]
    assert room(800, 900, 500) == ["800"]


def test_beyond_the_hard_limit_is_one_sentence_with_the_mend() -> None:
    said, limit = room(200, 400, 1000)
    assert "may open 400 files" in said
    assert "ulimit -n 1100" in said
    assert "--workers" in said
    assert limit == "200"
