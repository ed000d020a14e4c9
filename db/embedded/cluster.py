"""PostgreSQL's data directory: the template, a new copy of it, its settings, its password. Runs no server.

The settings are written at every start, so they are the code's and nobody else's. They promise: fsync is on
(an acked fix is on the disk), only 127.0.0.1 is listened on, every login needs a password, and neither a
statement nor its parameters nor a row gets into the log (an ERROR goes to the client that caused it).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from db.embedded.enclosure import Enclosure, own
from db.embedded.errors import StackFailed

BIN = "/usr/lib/postgresql/17/bin"
SUPERUSER = "postgres"
DATABASE = "partyline"
INSIDE = "/data/postgres"
PRELOAD = ("timescaledb",)
"""Libraries that a server loads unless it is asked for others."""

SETTINGS = """\
# Written by partyline at every start: what is changed here is lost.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
shared_preload_libraries = '{preload}'
timescaledb.telemetry_level = off
# This edition has no policies to run in the background, and its one job only fails.
timescaledb.max_background_workers = 0
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 64MB
max_wal_size = 1GB
# Files of the data directory: a small /dev/shm is no limit, and nothing is left there by a kill.
dynamic_shared_memory_type = mmap
max_worker_processes = 24
max_wal_senders = 0
wal_level = minimal
fsync = on
full_page_writes = on
synchronous_commit = on
# When a row was committed: 10 bytes a transaction, none a row (the delay from fix to commit is asked of it).
track_commit_timestamp = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
lc_messages = 'C.UTF-8'
default_text_search_config = 'pg_catalog.simple'
# Nothing of a statement or a row in the log: errors are the client's to tell.
log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%m [%p] '
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_statement = 'none'
log_min_duration_statement = -1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_autovacuum_min_duration = -1
"""

ACCESS = """\
# Written by partyline at every start.
host all all 127.0.0.1/32 scram-sha-256
"""


def make_template(inside: Enclosure, template: Path, *, log: Path) -> None:
    """Initialises an empty cluster with the database, and moves it to `template`. No login has a password."""
    folder = inside.folder("postgres")
    own(folder)
    folder.chmod(0o700)
    initdb = f"{BIN}/initdb --pgdata={INSIDE} --username={SUPERUSER} --encoding=UTF8 --locale=C.UTF-8"
    options = "--data-checksums --auth=reject --no-sync --no-instructions"
    inside.run([*initdb.split(), *options.split()], folder="postgres", log=log)
    _single(inside, f"CREATE DATABASE {DATABASE};", log=log)
    folder.rename(template)
    folder.mkdir()
    log.unlink()


def new_cluster(template: Path, folder: Path) -> None:
    """Copies the template to `folder`, whole or not at all, and onto the disk."""
    new = folder.with_name(folder.name + ".new")
    if new.exists():
        shutil.rmtree(new)
    copied = subprocess.run(  # noqa: S603
        ["cp", "-a", "--reflink=auto", str(template), str(new)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if copied.returncode != 0:
        raise StackFailed(f"The cluster could not be copied to {new}: {copied.stderr.strip()}.")
    subprocess.run(["sync", "--file-system", str(new)], check=True)  # noqa: S603, S607
    new.rename(folder)


def configure(folder: Path, *, port: int, preload: Sequence[str]) -> None:
    """Writes the settings for this start. `preload`: the libraries that the server loads."""
    settings = SETTINGS.format(port=port, preload=", ".join(preload))
    for name, text in (("postgresql.conf", settings), ("pg_hba.conf", ACCESS)):
        new = folder / f"{name}.new"
        new.write_text(text)
        new.chmod(0o600)
        own(new)
        new.rename(folder / name)


def set_password(inside: Enclosure, password: str, *, log: Path) -> None:
    """Gives the superuser its password, before the server listens for the first time."""
    _single(inside, f"ALTER ROLE {SUPERUSER} PASSWORD '{password}';", log=log)


def _single(inside: Enclosure, statement: str, *, log: Path) -> None:
    """Runs one statement with the server in single-user mode: no socket, no login."""
    script = inside.folder("postgres") / "single.sql"
    fd = os.open(script, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(statement + "\n")
    try:
        argv = [f"{BIN}/postgres", "--single", "-D", INSIDE]
        for setting in ("shared_preload_libraries=", "log_min_error_statement=panic", "exit_on_error=on"):
            argv += ["-c", setting]
        inside.run([*argv, "postgres"], folder="postgres", log=log, source=script)
    finally:
        script.unlink()


def ready(folder: Path, pid: int) -> bool:
    """Whether the server of this pid says in its pid file that it takes connections."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"
