"""A file is written whole or not at all: beside its place first, then put there."""

from __future__ import annotations

import os
from pathlib import Path

from load_tests.cannot_start import CannotStart

PRIVATE, SHARED = 0o600, 0o666
"""Only its owner reads it, because it may hold tokens; or whoever may read files here."""


def write_whole(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Raises `CannotStart`. `mode`: of a new file, less the umask."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CannotStart(
            f"{path.name} cannot be written ({error.strerror}); name a file that you may write."
        ) from None
