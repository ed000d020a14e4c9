"""What `/proc` says of processes: CPU time, memory, who is whose child. Reads only.

CPU time is `schedstat`'s nanoseconds where the kernel keeps them, else `stat`'s ticks of 10 ms; both hold
user and system time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class ProcessGone(Exception):
    """A process that is measured has ended."""


def cpu_ns(pids: Iterable[int]) -> int:
    """CPU time that these processes have used so far, nanoseconds. Raises `ProcessGone`."""
    return sum(_cpu_ns(pid) for pid in pids)


def _cpu_ns(pid: int) -> int:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    except FileNotFoundError:
        fields = _stat(pid)
        return (int(fields[11]) + int(fields[12])) * _TICK_NS
    except ProcessLookupError:
        raise ProcessGone(f"process {pid} has ended") from None


def memory_kib(pids: Iterable[int]) -> int:
    """Memory of these processes, KiB: what is theirs alone and their part of the shared (PSS), else RSS."""
    return sum(_memory_kib(pid) for pid in pids)


def _memory_kib(pid: int) -> int:
    try:
        for file, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
            try:
                text = Path(f"/proc/{pid}/{file}").read_text()
            except PermissionError:
                continue
            for line in text.splitlines():
                if line.startswith(key):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    raise ProcessGone(f"process {pid} has ended")


def _stat(pid: int) -> list[str]:
    """`stat` after the name, which may hold anything: the state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessGone(f"process {pid} has ended") from None


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
            except ProcessGone:
                continue
    return sorted(found)


def child_with(pid: int, word: str) -> int:
    """The child of `pid` that has `word` among its arguments. Raises `ProcessGone` when there is none."""
    for child in children(pid):
        try:
            if word.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return child
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise ProcessGone(f"there is no {word} among the children of process {pid}")
