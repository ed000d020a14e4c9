"""How a command gets into the private root: the choice of the way, the job for the warden, the process.

Three ways, the first that the kernel allows: root with a mount namespace; an ordinary user with a user
namespace; root that may not mount (a plain container), by `chroot` into a copy of hard links that lies in
the data directory. It decides nothing about what runs, and leaves no mount behind in any of them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from db.embedded.errors import StackFailed, StackUnavailable

SERVER_UID = 60999
"""Who the servers are when root starts them: a number that neither Debian nor systemd gives to anybody. In a
user namespace the ordinary user wears the same number, so one /etc/passwd in the root serves both."""

ENVIRONMENT = {"PATH": "/usr/bin", "HOME": "/data", "LANG": "C.UTF-8", "TZ": "UTC"}
WARDEN = Path(__file__).with_name("warden.py")


@dataclass(frozen=True)
class Job:
    """What the warden is asked to run. `stop`: signals and the seconds each is given."""

    root: str
    mount: bool
    binds: list[tuple[str, str]]
    uid: int
    argv: list[str] | None
    stop: list[tuple[int, float]]
    log: str | None = None
    input: str | None = None
    grace_s: float = 5.0
    env: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))


def _warden(job: Job, fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", "-S", str(WARDEN), json.dumps(asdict(job)), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches the parent only, which stops the servers in order
        pass_fds=fds,
        cwd="/",
    )


def may_mount() -> bool:
    """Whether to mount (True) or, as root without that right, to link. Raises `StackUnavailable`."""
    if platform.system() != "Linux":
        raise StackUnavailable("The embedded stack runs on Linux only.")
    with _warden(Job("/", True, [], SERVER_UID, None, [])) as probe:
        answer, _ = probe.communicate()
    if probe.returncode == 0:
        return True
    if os.geteuid() == 0:
        return False
    # The number's usual text would mislead: the kernel says ENOSPC when it allows no more namespaces.
    number = answer.decode(errors="replace").removeprefix("error ").partition(" ")[0]
    why = errno.errorcode.get(int(number), number) if number.isdigit() else "no answer"
    raise StackUnavailable(f"This user may not make a user namespace here (the kernel says {why}).")


def own(path: Path) -> None:
    """Gives a path to the servers' user, where that is another than we are."""
    if os.geteuid() == 0:
        os.chown(path, SERVER_UID, SERVER_UID)


class Process:
    """A command that runs inside the root, with its warden."""

    def __init__(self, warden: subprocess.Popen[bytes]) -> None:
        self._warden = warden
        answer = warden.stdout.readline() if warden.stdout else b""
        word, _, rest = answer.decode(errors="replace").strip().partition(" ")
        if word != "pid":
            self.stop()
            raise StackFailed(f"A server could not be run in the private root: {rest or 'no answer'}.")
        self.pid = int(rest)

    @property
    def running(self) -> bool:
        return self._warden.poll() is None

    def kill(self) -> int:
        """SIGKILL to the command itself; returns its exit status when all of it is gone."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        return self._warden.wait()

    def wait(self) -> int:
        """Waits for the command's own end. Returns its exit status."""
        status = self._warden.wait()
        self.stop()
        return status

    def stop(self) -> int:
        """Lets the warden stop it cleanly; returns the exit status when all of it is gone. Twice is safe."""
        for pipe in (self._warden.stdin, self._warden.stdout):
            if pipe is not None:
                pipe.close()
        return self._warden.wait()


class Enclosure:
    """The private root with one data directory's folders under `/data`.

    `folder(name)` is `/data/<name>` seen from outside. `lock_fd` is handed to every server, so that the lock
    on the data directory is held until the last process is gone, whoever was killed.
    """

    def __init__(self, root: Path, data_dir: Path | None, *, mount: bool, lock_fd: int | None = None) -> None:
        self._data_dir, self._mount = data_dir, mount
        self._fds = () if lock_fd is None else (lock_fd,)
        self._root = root if mount or data_dir is None else _linked(root, data_dir)

    def folder(self, name: str) -> Path:
        return (self._root / "data" if self._data_dir is None else self._data_dir) / name

    def place(self, name: str) -> None:
        """Makes the folder reachable inside: after it was made, before a command runs."""
        if self._data_dir is not None and not self._mount:
            _move_inside(self.folder(name), self._root / "data" / name)

    def start(
        self,
        argv: Sequence[str],
        *,
        folder: str,
        log: Path,
        stop: list[tuple[int, float]],
        source: Path | None = None,
    ) -> Process:
        """Runs a command with its folder; its output goes to `log`, its input comes from `source`."""
        bound = self._mount and self._data_dir is not None
        binds = [(str(self.folder(folder).resolve()), f"/data/{folder}")] if bound else []
        job = Job(
            str(self._root),
            self._mount,
            binds,
            SERVER_UID,
            list(argv),
            stop,
            str(log),
            None if source is None else str(source),
        )
        return Process(_warden(job, self._fds))

    def run(self, argv: Sequence[str], *, folder: str, log: Path, source: Path | None = None) -> None:
        """Runs a command to its end. Raises `StackFailed` when it fails."""
        stop: list[tuple[int, float]] = [(signal.SIGTERM, 5.0)]
        status = self.start(argv, folder=folder, log=log, stop=stop, source=source).wait()
        if status != 0:
            raise StackFailed(f"{Path(argv[0]).name} ended with status {status}; see {log}.")


def _link(source: str, target: str) -> str:
    kind = os.lstat(source)
    if stat.S_ISCHR(kind.st_mode):
        os.mknod(target, kind.st_mode, kind.st_rdev)
        return target
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _linked(root: Path, data_dir: Path) -> Path:
    """The root as hard links in the data directory, for those who may `chroot` but not mount."""
    farm = data_dir / f"root-{root.parent.name}"
    if not farm.exists():
        new = data_dir / "root.new"
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(root, new, symlinks=True, copy_function=_link)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            node = new / "dev" / name
            if not node.exists():
                node.parent.mkdir(exist_ok=True)
                os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
                node.chmod(0o666)
        new.rename(farm)
    return farm


def _move_inside(folder: Path, home: Path) -> None:
    """Puts the folder's data inside the linked root, and leaves a link to it where it was."""
    if folder.is_symlink() and folder.resolve() == home.resolve():
        return
    with contextlib.suppress(FileNotFoundError):
        home.rmdir()  # empty, as the root is built with it
    folder.resolve().rename(home)
    folder.unlink(missing_ok=True)
    folder.symlink_to(os.path.relpath(home, folder.parent))
