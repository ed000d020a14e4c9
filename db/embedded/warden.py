"""Runs one command inside the private root, and sees to it that nothing of it outlives who asked.

A program of its own: standard library only, run by its path, one process per server. It never reads a
password, and never writes outside the log it is given. Its life:

- the job comes as JSON in the first argument (see `Job` in `enclosure.py`);
- it forks the command into the root, says `pid N` or `error CODE TEXT` on stdout;
- it stops the command when stdin ends, when its parent dies, or on SIGTERM: the job's signals in turn, then
  SIGKILL for everything that is left;
- it ends when every descendant has ended (it is their subreaper), so that who waits for it may start again.
  Exit status: the command's own, 128 + N for signal N, or 125 when the command could not be run.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def _bind(source: str, target: str) -> None:
    flags = ctypes.c_ulong(MS_BIND | MS_REC)
    _checked(_libc.mount(source.encode(), target.encode(), None, flags, None), f"mount {source}")


def unshare_mounts(uid: int) -> None:
    """A mount namespace of our own; as an ordinary user in a user namespace where we are `uid`."""
    me, my_group = os.geteuid(), os.getegid()
    ordinary = me != 0
    _checked(_libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if ordinary else 0)), "unshare")
    if ordinary:
        for name, text in (
            ("setgroups", "deny"),
            ("gid_map", f"{uid} {my_group} 1"),
            ("uid_map", f"{uid} {me} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _checked(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount private")


def _enter(job: dict[str, Any]) -> None:
    """Into the root, as the job's uid, with no way to more rights."""
    root, uid = job["root"], job["uid"]
    root_user = os.geteuid() == 0
    if job["mount"]:
        unshare_mounts(uid)
        for source, target in [("/dev", "/dev"), ("/proc", "/proc"), *job["binds"]]:
            _bind(source, root + target)
    os.chroot(root)
    os.chdir("/")
    if root_user:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _child(job: dict[str, Any], warden: int, failed: int) -> NoReturn:
    """In the forked process: becomes the command, or writes why not to `failed`."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that on
        os.umask(0o077)
        if job["log"] is not None:
            log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
        source = os.open(job["input"] or "/dev/null", os.O_RDONLY)
        os.dup2(source, 0)
        os.close(source)
        _enter(job)
        # After the change of user, which would clear it. If the warden is killed, the server stops as well.
        _prctl(PR_SET_PDEATHSIG, job["stop"][0][0])
        if os.getppid() != warden:
            os._exit(125)
        os.execve(job["argv"][0], job["argv"], job["env"])  # noqa: S606
    except OSError as error:
        os.write(failed, f"{error.errno or 0} {error.strerror}".encode())
    except BaseException as error:
        os.write(failed, f"0 {type(error).__name__}".encode())
    os._exit(125)


def _launch(job: dict[str, Any]) -> int:
    """Forks the command. Returns its pid once it runs; exits when it could not be run."""
    read_end, write_end = os.pipe()  # closed by a successful exec: then we read nothing
    warden = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _child(job, warden, write_end)
    os.close(write_end)
    why = os.read(read_end, 1000).decode()
    os.close(read_end)
    if why:
        os.waitpid(pid, 0)
        os.write(1, f"error {why}\n".encode())
        sys.exit(125)
    return pid


def _watch(pid: int, parent: int, asked: int, stop: list[tuple[int, float]]) -> None:
    """Returns when the command has ended, by itself or because it was told to."""
    command = os.pidfd_open(pid)
    poll = select.poll()
    watched = [0, asked, command, parent]
    for fd in watched:
        poll.register(fd, select.POLLIN | select.POLLHUP)
    if any(fd == command for fd, _ in poll.poll()):
        return
    for fd in watched:
        if fd != command:
            poll.unregister(fd)
    for number, seconds in stop:
        signal.pidfd_send_signal(command, number)
        if poll.poll(seconds * 1000):
            return
    signal.pidfd_send_signal(command, signal.SIGKILL)
    poll.poll()


def _kill_children(*_: object) -> None:
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as file:
        for child in file.read().split():
            os.kill(int(child), signal.SIGKILL)


def _reap(pid: int, grace_s: float) -> int:
    """Waits for the command and every orphan it left. Returns the command's exit status."""
    status = 0
    # Orphans of a killed PostgreSQL end by themselves; one that does not is killed.
    signal.signal(signal.SIGALRM, _kill_children)
    signal.setitimer(signal.ITIMER_REAL, grace_s, 1)
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, code = os.waitpid(-1, 0)
            if ended == pid:
                status = os.waitstatus_to_exitcode(code)
    return status if status >= 0 else 128 - status


def main(job: dict[str, Any], parent_pid: int) -> int:
    asked, ask = os.pipe()
    os.set_blocking(ask, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(ask, b"x"))
    if job["argv"] is None:  # only asked whether the kernel lets us
        try:
            unshare_mounts(job["uid"])
        except OSError as error:
            os.write(1, f"error {error.errno or 0} {error.strerror}\n".encode())
            return 125
        return 0
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        return 125
    if os.getppid() != parent_pid:
        return 125
    pid = _launch(job)
    os.write(1, f"pid {pid}\n".encode())
    _watch(pid, parent, asked, job["stop"])
    return _reap(pid, job["grace_s"])


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), int(sys.argv[2])))
