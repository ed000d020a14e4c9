"""Recorded tracks from files, as they are: source order kept, nothing cleaned, nothing invented.

A line that can never be sent (no time, no place) is counted by its reason and left out. A file that is
not what it claims to be is a `TrackError` that names the file and the line. What is merely absurd (a
clock in 1901, metres in place of degrees) is kept: the server has to cope with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from load_tests.gpx import read_gpx
from load_tests.ndjson import read_ndjson
from load_tests.readings import Track, TrackError


def read_tracks(path: Path) -> list[Track]:
    """The tracks of a `.gpx`, `.ndjson` or `.ndjson.gz` file, in the order in which they begin.

    Raises `TrackError`.
    """
    name = path.name.lower()
    try:
        if name.endswith(".gpx"):
            tracks = read_gpx(path)
        elif name.endswith((".ndjson", ".ndjson.gz")):
            tracks = read_ndjson(path, packed=name.endswith(".gz"))
        else:
            raise TrackError(path, "is neither .gpx, .ndjson nor .ndjson.gz")
    except OSError as error:
        raise TrackError(path, error.strerror or "cannot be read") from None
    if not any(track.readings for track in tracks):
        raise TrackError(path, "holds no fix that has a time and a place")
    return tracks


def read_all(paths: Sequence[Path]) -> list[Track]:
    """The tracks of several files; a name that comes again gets a number, so that names are unique."""
    tracks: list[Track] = []
    taken: set[str] = set()
    for path in paths:
        for track in read_tracks(path):
            label, number = track.member, 2
            while track.member in taken:
                track.member, number = f"{label} ({number})", number + 1
            taken.add(track.member)
            tracks.append(track)
    return tracks
