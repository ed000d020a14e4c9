"""How many files a process may open: each phone is one. The soft limit is raised to what is needed."""

from __future__ import annotations

import resource

from load_tests.cannot_start import CannotStart

BESIDE_PHONES = 100
"""Files of the process itself: pipes, the database, calls over HTTP, connections that are being closed."""


def make_room(phones: int) -> None:
    """Let this process open so many phones. Raises `CannotStart` when the machine does not allow it."""
    needed = phones + BESIDE_PHONES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CannotStart(
            f"A process may open {hard} files here, and {phones} phones in one need {needed}: "
            f"raise it with `ulimit -n {needed}`, or share the phones out with more --workers."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
