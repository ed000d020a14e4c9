"""What each subject needs on this machine, whether it is there, and the one command that would put it there.

Everything that is built or installed by us lies in the user's cache folder. Packages of the system are
installed only when asked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "subjects"
INSTALL_S = 300
ADMIN_FOLDERS = ("/usr/sbin", "/sbin")


class Absent(Exception):
    """A subject cannot run here: what is missing, and the command that would install it."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what}; install it with: {command}")
        self.command = command


@dataclass(frozen=True)
class Cache:
    """Where what we build and install lies."""

    folder: Path

    @property
    def node(self) -> Path:
        return self.folder / "node"

    @property
    def fastapi(self) -> Path:
        return self.folder / "fastapi"


def cache_of(environment: dict[str, str], home: Path) -> Cache:
    """`partyline/bench` in the user's cache folder."""
    return Cache(Path(environment.get("XDG_CACHE_HOME") or home / ".cache") / "partyline" / "bench")


def find_program(name: str, package: str) -> str:
    """A program of the system, also from the folders of administrators. Raises `Absent`."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *ADMIN_FOLDERS)))
    if found is None:
        raise Absent(f"{name} is not installed", apt(package))
    return found


def apt(*packages: str) -> str:
    """The command that installs packages of Debian or Ubuntu."""
    return f"apt-get install -y --no-install-recommends {' '.join(packages)}"


def built_floor(cache: Cache) -> Path:
    """The C floor, compiled once for each version of its source. Raises `Absent`."""
    source = SOURCES / "floor.c"
    built = cache.folder / f"floor-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not built.exists():
        compiler = shutil.which("cc") or find_program("gcc", "gcc libc6-dev")
        cache.folder.mkdir(parents=True, exist_ok=True)
        partial = built.with_suffix(".partial")
        done = subprocess.run(  # noqa: S603 - our own source
            [compiler, "-O2", "-o", str(partial), str(source)], capture_output=True, check=False
        )
        if done.returncode:
            raise Absent("the C compiler cannot build floor.c", apt("gcc", "libc6-dev"))
        partial.replace(built)
    return built


def node_with(cache: Cache, module: str) -> tuple[str, Path]:
    """Node, and the folder in which it finds `module`. Raises `Absent`."""
    node = find_program("node", "nodejs npm")
    if not (cache.node / "node_modules" / module / "package.json").exists():
        wanted, folder = SOURCES / "package.json", cache.node
        command = f"mkdir -p {folder} && cp {wanted} {folder} && npm install --silent --prefix {folder}"
        raise Absent(f"the package {module} is not installed", command)
    return node, cache.node


def python_with_fastapi(cache: Cache) -> Path:
    """A Python that has FastAPI and uvicorn. Raises `Absent`."""
    python = cache.fastapi / "bin" / "python"
    if not (cache.fastapi / "bin" / "uvicorn").exists():
        wanted = SOURCES / "fastapi_requirements.txt"
        command = f"{sys.executable} -m venv {cache.fastapi} && {python} -m pip install -q -r {wanted}"
        raise Absent("FastAPI is not installed", command)
    return python


def nginx_with_nchan() -> tuple[str, Path]:
    """nginx, and the nchan module. Raises `Absent`."""
    package = "nginx libnginx-mod-nchan"
    nginx = find_program("nginx", package)
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    folder = next(
        (word.partition("=")[2] for word in told.split() if word.startswith("--modules-path=")),
        "/usr/lib/nginx/modules",
    )
    module = Path(folder) / "ngx_nchan_module.so"
    if not module.exists():
        raise Absent("nginx has no nchan module", apt(package))
    return nginx, module


def install(absent: Absent) -> bool:
    """Runs the command of `absent`, with `sudo` for packages where need be; whether it went well."""
    command = absent.command
    if command.startswith("apt-get") and os.geteuid() != 0:
        command = f"sudo {command}"
    try:
        done = subprocess.run(  # noqa: S602 - the command that we show
            command,
            shell=True,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
