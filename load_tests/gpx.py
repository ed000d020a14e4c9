"""GPX files: one member per track, its segments one after the other.

Reads with gpxpy, which stops at the first value that it cannot read and does not say where; so the line
is found here, by a second look at the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

import gpxpy
from gpxpy.gpx import GPXException, GPXXMLSyntaxException

from load_tests.readings import Reading, Track, TrackError, add_reading, millis

_NUMBERS = {"ele", "speed", "course", "hdop", "vdop", "pdop", "magvar", "geoidheight", "ageofdgpsdata"}


def read_gpx(path: Path) -> list[Track]:
    """The tracks of a GPX file that have points. Raises `TrackError`, and `OSError` when it is not there."""
    data = path.read_bytes()
    line, what = _first_fault(data)
    if what is not None:
        raise TrackError(path, what, line)
    try:
        document = gpxpy.parse(data)
    except (GPXException, GPXXMLSyntaxException, ValueError, LookupError):
        raise TrackError(path, "is not GPX that can be read") from None
    names: Counter[str] = Counter()
    tracks = []
    for number, source in enumerate(document.tracks, 1):
        points = [point for segment in source.segments for point in segment.points]
        if points:
            name = source.name or f"{path.stem} {number}"
            names[name] += 1
            track = Track(name if names[name] == 1 else f"{name} ({names[name]})")
            for point in points:
                _add_point(track, point)
            tracks.append(track)
    return tracks


def _add_point(track: Track, point: Any) -> None:
    if point.time is None:
        track.unusable["no_time"] += 1
        return
    try:
        at = millis(point.time)
    except OverflowError:
        track.unusable["bad_time"] += 1
        return
    extra = dict(_extensions(point))
    speed = extra.get("speed") if point.speed is None else point.speed
    add_reading(
        track, Reading(at, point.latitude, point.longitude, extra.get("hAcc"), point.elevation, speed)
    )


def _extensions(point: Any) -> Iterator[tuple[str, float]]:
    """Numbers that loggers put into `extensions`: of use are `speed` and `hAcc`, as phones name them."""
    for outer in point.extensions:
        for element in outer.iter():
            try:
                yield str(element.tag).rsplit("}", 1)[-1], float(element.text)
            except (TypeError, ValueError):
                continue


class _Look:
    """Walks the XML and stops at the first thing that is not GPX."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.line: int | None = None
        self.what: str | None = None
        self._root_seen = False
        self._content = ""
        self._content_line = 0

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rsplit(":", 1)[-1]
        if not self._root_seen and name != "gpx":
            self._fault("is XML, but not GPX", self.parser.CurrentLineNumber)
        self._root_seen = True
        if name in ("trkpt", "wpt", "rtept") and not all(
            _is_number(attributes.get(key, "")) for key in ("lat", "lon")
        ):
            self._fault(f"a {name} needs the numbers lat and lon", self.parser.CurrentLineNumber)
        self._content, self._content_line = "", self.parser.CurrentLineNumber

    def _text(self, text: str) -> None:
        self._content += text

    def _end(self, tag: str) -> None:
        name = tag.rsplit(":", 1)[-1]
        content, self._content = self._content.strip(), ""
        if name in _NUMBERS and content and not _is_number(content):
            self._fault(f"{name} is not a number", self._content_line)

    def _fault(self, what: str, line: int) -> None:
        if self.what is None:
            self.what, self.line = what, line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_fault(data: bytes) -> tuple[int | None, str | None]:
    look = _Look()
    try:
        look.parser.Parse(data, True)
    except expat.ExpatError as error:
        if look.what is None:
            return error.lineno, f"is not well-formed XML ({expat.ErrorString(error.code)})"
    except (ValueError, LookupError):
        return 1, "its XML encoding is not known"
    return look.line, look.what
