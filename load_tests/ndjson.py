"""Tracks as NDJSON, plain or gzipped, one fix a line.

A member per `track` where the lines have it, else per `person`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from load_tests.readings import Reading, Track, TrackError, add_reading, parse_time


class _Line(msgspec.Struct):
    """One line of NDJSON."""

    person: str
    t: str | None = None
    lat: float | None = None
    lon: float | None = None
    acc: float | None = None
    alt: float | None = None
    speed: float | None = None
    recv: str | None = None
    track: str | None = None


_decode_line = msgspec.json.Decoder(_Line).decode


def read_ndjson(path: Path, *, packed: bool) -> list[Track]:
    """The tracks of the file. Raises `TrackError`, and `OSError` when it is not there."""
    tracks: dict[str, Track] = {}
    with gzip.open(path) if packed else path.open("rb") as file:
        for number, line in _lines(path, file):
            _add_line(path, number, line, tracks)
    return list(tracks.values())


def _lines(path: Path, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise TrackError(path, "is not a whole gzip file; fetch it again", number + 1) from None


def _add_line(path: Path, number: int, line: bytes, tracks: dict[str, Track]) -> None:
    try:
        row = _decode_line(line)
    except (msgspec.ValidationError, UnicodeDecodeError):
        raise TrackError(path, "is not a fix (person, t, lat, lon, acc, alt, speed)", number) from None
    except (msgspec.DecodeError, RecursionError):
        raise TrackError(path, "is not JSON", number) from None
    label = row.track or row.person
    track = tracks.setdefault(label, Track(label))
    if row.t is None:
        track.unusable["no_time"] += 1
    elif (at := parse_time(row.t)) is None:
        track.unusable["bad_time"] += 1
    elif row.lat is None or row.lon is None:
        track.unusable["no_place"] += 1
    else:
        recv = None if row.recv is None else parse_time(row.recv)
        add_reading(track, Reading(at, row.lat, row.lon, row.acc, row.alt, row.speed, recv))
