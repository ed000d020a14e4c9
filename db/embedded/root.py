"""Builds, once per user and package list, the private root that the servers run in, and finds it afterwards.

The root holds the unpacked packages and nothing of the machine: no maintainer script runs, no service is
touched, and no host name is known here (the mirror is mmdebstrap's own choice, or the one that this machine's
apt names). It is built beside its place and renamed into it, under a lock, so that a killed build leaves
nothing that is used, and two processes build once. Beside it lies the template cluster: an initialised,
empty PostgreSQL data directory that each new data directory starts as a copy of.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from db.embedded.cluster import make_template
from db.embedded.enclosure import SERVER_UID, Enclosure
from db.embedded.errors import StackUnavailable

SUITE = "trixie"
PACKAGES = (
    "postgresql-17",
    "postgresql-17-timescaledb",
    "postgresql-17-postgis-3",
    "postgresql-17-pgvector",
    "postgresql-17-partman",
    "redis-server",
    "dash",  # initdb speaks to the server through a shell
)
UNUSED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/i18n",
    "usr/share/fonts",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/lib/*/perl*",
    "usr/lib/*/libLLVM*",  # only for compiling queries as they run, which is off
    "usr/lib/postgresql/*/lib/bitcode",
    "usr/lib/postgresql/*/lib/llvmjit*",
    "usr/lib/postgresql/*/lib/pgxs",
    "usr/include",
    "var/cache/*",
)
LAYOUT = 3
"""Raised when what is built from the same packages changes, template included."""
BUILD_BYTES = 1_000_000_000
"""What a build takes on the disk at its peak; half of it stays."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PASSWD = f"root:x:0:0::/:/usr/bin/sh\npostgres:x:{SERVER_UID}:{SERVER_UID}::/data:/usr/bin/sh\n"
GROUP = f"root:x:0:\npostgres:x:{SERVER_UID}:\n"

Say = Callable[[str], None]


def place() -> Path:
    """Where the stack of this package list lies (or will), under the user's cache folder."""
    made_of = "\n".join([SUITE, platform.machine(), str(LAYOUT), *PACKAGES, *UNUSED])
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"  # as the XDG specification says
    return base / "partyline" / f"stack-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def prepare(say: Say, *, mount: bool) -> Path:
    """The folder that holds `root/` and `template/`; builds it if need be. Raises `StackUnavailable`."""
    stack = place()
    if stack.is_dir():
        return stack
    _check_tools(stack)
    stack.parent.mkdir(parents=True, exist_ok=True)
    with _locked(stack.with_suffix(".lock"), say) as lock_fd:
        if not stack.is_dir():
            new = stack.with_suffix(".new")
            if new.exists():
                shutil.rmtree(new)
            _build(new, say, mount=mount, lock_fd=lock_fd)
            new.rename(stack)
    return stack


def _check_tools(stack: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise StackUnavailable("mmdebstrap is not installed.")
    if shutil.which("apt-get") is None:
        raise StackUnavailable("This machine has no apt.")
    existing = next(folder for folder in stack.parents if folder.exists())
    if (free := shutil.disk_usage(existing).free) < BUILD_BYTES:
        raise StackUnavailable(
            f"Building needs {BUILD_BYTES // 10**6} MB under {existing}, which has {free // 10**6} MB free "
            "(XDG_CACHE_HOME names another place)."
        )


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[int]:
    """Holds the build's lock; mmdebstrap inherits it, so that an orphaned build is waited for as well."""
    lock_fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is building the embedded stack; waiting for it …")
            fcntl.flock(lock_fd, fcntl.LOCK_EX)
        yield lock_fd
    finally:
        os.close(lock_fd)


def _build(new: Path, say: Say, *, mount: bool, lock_fd: int) -> None:
    started = time.monotonic()
    say(f"Building the embedded stack (PostgreSQL, TimescaleDB, PostGIS, Redis) in {new.parent}, once …")
    new.mkdir(mode=0o755)
    root = new / "root"
    _unpack(root, say, lock_fd)
    _complete(root)
    say("  making an empty PostgreSQL cluster")
    make_template(Enclosure(root, None, mount=mount), new / "template", log=new / "template.log")
    say(f"The embedded stack is built ({time.monotonic() - started:.0f} s).")


def mirror() -> list[str]:
    """This machine's own Debian mirrors as sources for the suite; nothing when apt names none."""
    answer = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    sources: list[str] = []
    for line in sorted(set(answer.stdout.splitlines())):
        origin, label, address = line.split("|", 2)
        if origin == "Debian" and address:
            suite = f"{SUITE}-security" if label == "Debian-Security" else SUITE
            sources.append(f"deb {address} {suite} main")
    # Without the main archive the rest is of no use: then mmdebstrap knows better.
    return sources if any(source.endswith(f" {SUITE} main") for source in sources) else []


def _unpack(root: Path, say: Say, lock_fd: int) -> None:
    """Downloads and unpacks the packages. Nothing of them is configured, so an ordinary user can do it."""
    command = ["mmdebstrap", "--variant=extract", f"--include={','.join(PACKAGES)}", "--format=directory"]
    command.append("--mode=root" if os.geteuid() == 0 else "--mode=chrootless")
    command.append('--aptopt=Acquire::Languages "none"')
    sources = mirror()
    if sources and KEYRING.exists():
        command.append(f"--keyring={KEYRING}")
    with subprocess.Popen(  # noqa: S603
        [*command, SUITE, str(root), *sources],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        pass_fds=[lock_fd],
    ) as process:
        try:
            last = _follow(process, say)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise StackUnavailable(f"mmdebstrap ended with status {process.returncode}: {' | '.join(last)}.")


def _follow(process: subprocess.Popen[str], say: Say) -> list[str]:
    """Shows mmdebstrap's phases: a spinner on a terminal, else a line each. Returns its last complaints."""
    console = Console(stderr=True)
    complaints: list[str] = []
    with console.status("starting mmdebstrap …") as status:
        for line in process.stderr or ():
            kind, _, text = line.strip().partition(": ")
            if kind == "I":
                status.update(text)
                if not console.is_terminal:
                    say(f"  {text}")
            elif text or kind:
                complaints = [*complaints, line.strip()][-3:]
    return complaints


def _complete(root: Path) -> None:
    """What the packages' scripts would have made: the merged folders, the one user, the chosen libraries."""
    root.chmod(0o755)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists() and (root / "usr" / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "tmp", "data/postgres", "data/redis"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    for kind in ("blas", "lapack"):  # chosen among alternatives on a full system
        for library in root.glob(f"usr/lib/*/{kind}/lib*.so.?"):
            link = library.parent.parent / library.name
            if not link.exists():
                link.symlink_to(f"{kind}/{library.name}")
    for control in root.glob("usr/share/postgresql/*/extension/*-3.control"):  # PostGIS, another alternative
        control.with_name(control.name.replace("-3.", ".")).symlink_to(control.name)
    for pattern in UNUSED:
        for unused in root.glob(pattern):
            if unused.is_dir() and not unused.is_symlink():
                shutil.rmtree(unused)
            else:
                unused.unlink()
