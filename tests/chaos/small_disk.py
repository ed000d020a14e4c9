"""A disk of so many megabytes, in memory, for the servers' data: it can be filled and emptied again.

Only root may mount; where nobody may, `mounted` says so, and the folder is an ordinary one.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path


class SmallDisk:
    """Mounted at `folder` until `unmount`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._filler = folder / "filler"
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        can = os.geteuid() == 0 and shutil.which("mount") is not None
        self.mounted = can and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Not a byte is left when this returns."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                block = bytes(size)
                try:
                    while True:
                        file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self) -> None:
        """What filled it is gone. Does nothing when it is not full."""
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        """What was on it is gone. May come twice."""
        if self.mounted:
            self.mounted = False
            subprocess.run(["umount", "-l", str(self._folder)], check=True, capture_output=True)
