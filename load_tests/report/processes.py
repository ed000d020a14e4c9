"""Which processes of this machine are PostgreSQL and its writers, and what `/proc` says of them.

Nothing is guessed from names: a backend is known by the port of our own connection in its title, a writer by
the socket it holds. Where that cannot be read (another machine, a container, another user) nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from load_tests.bench.proc import ProcessGone

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


def postmaster_of(backend: int, our_port: int) -> int | None:
    """The parent of the backend that serves our connection; `None` when it is not on this machine."""
    try:
        title = (PROC / str(backend) / "cmdline").read_bytes()
    except OSError:
        return None
    if not title.startswith(b"postgres:") or f"({our_port})".encode() not in title:
        return None
    return int(_stat(backend)[1])


def holders_of(port: int, server_port: int) -> list[int]:
    """The processes at the client's end of the connection from `port` to `server_port` of this machine."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port, server_port)}
    if not sockets:
        return []
    return [int(one.name) for one in PROC.iterdir() if one.name.isdigit() and _holds(one, sockets)]


def cpu_s(pid: int) -> float:
    """User and system time of a process, seconds. Raises `ProcessGone`."""
    return TICK_S * sum(map(int, _stat(pid)[11:13]))


def family_cpu_s(parent: int, children: Sequence[int]) -> float:
    """The same of a process and its children, those that have ended included."""
    return TICK_S * sum(map(int, _stat(parent)[11:15])) + sum(map(cpu_s, children))


def resident_bytes(pid: int) -> int:
    """Memory of a process. Raises `ProcessGone`."""
    try:
        return PAGE_BYTES * int((PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        raise ProcessGone(f"process {pid} has ended") from None


def shared_bytes(pids: Iterable[int]) -> int | None:
    """Memory of processes, what they share counted once; `None` where that is not to be read.

    Raises `ProcessGone`.
    """
    found = [_proportional_bytes(one) for one in pids]
    known = [one for one in found if one is not None]
    return sum(known) if len(known) == len(found) else None


def _proportional_bytes(pid: int) -> int | None:
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    except PermissionError:
        return None
    except OSError:
        raise ProcessGone(f"process {pid} has ended") from None
    return 0  # about to end


def _stat(pid: int) -> list[str]:
    """`stat` after the name: the state, the parent, …"""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        raise ProcessGone(f"process {pid} has ended") from None


def _inodes(port: int, server_port: int) -> set[str]:
    """The sockets of such a connection, by the tables of the kernel."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            here, there = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            if (here, there) == (port, server_port):
                found.add(fields[9])
    return found


def _holds(process: Path, sockets: set[str]) -> bool:
    try:
        return any(os.readlink(one) in sockets for one in (process / "fd").iterdir())
    except OSError:  # ended, another user's, or a file closed meanwhile
        return False
