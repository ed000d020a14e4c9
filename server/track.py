"""Tracks as others read them: thinned, as GeoJSON (RFC 7946) or GPX 1.1. Pure: positions in, text out.

It decides nothing about precision: what comes in is already as coarse as may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from gpxpy.gpx import GPX, GPXTrack, GPXTrackPoint, GPXTrackSegment

from protocol.precision import Precision
from server.bodies import FeatureCollection, LineString, Point, TrackFeature, TrackProperties
from server.masking import Position

GEOJSON = "application/geo+json"
GPX_XML = "application/gpx+xml"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry, not even escaped (production 2, `Char`)."""


@dataclass(frozen=True, slots=True)
class MemberTrack:
    """One member's positions, oldest first."""

    m: int
    name: str
    precision: Precision
    """How finely the member is shown now."""
    points: Sequence[Position]


class Thinned:
    """At most `most` of the positions that are added, spread evenly; first and last are kept.

    Holds twice as many at most, however many are added. Raises `ValueError` for fewer than two.
    """

    def __init__(self, most: int) -> None:
        if most < 2:
            raise ValueError("a track has room for two points at least")
        self._most = most
        self._kept: list[Position] = []
        self._last: Position | None = None
        self._stride = 1
        self._count = 0

    def add(self, position: Position) -> None:
        """The next position in time order."""
        if self._count % self._stride == 0:
            self._kept.append(position)
            if len(self._kept) > 2 * self._most:
                del self._kept[1::2]
                self._stride *= 2
        self._count += 1
        self._last = position

    def points(self) -> list[Position]:
        """What is left."""
        kept = list(self._kept)
        if self._last is not None and kept[-1] is not self._last:
            kept.append(self._last)
        if len(kept) <= self._most:
            return kept
        step = (len(kept) - 1) / (self._most - 1)
        return [kept[round(index * step)] for index in range(self._most)]


def geojson(tracks: Iterable[MemberTrack]) -> bytes:
    """A feature for each member with points: a LineString, or a Point where there is only one."""
    features = []
    for track in tracks:
        places = [(position.lon, position.lat) for position in track.points]
        if not places:
            continue
        features.append(
            TrackFeature(
                LineString(places) if len(places) > 1 else Point(places[0]),
                TrackProperties(
                    m=track.m,
                    name=track.name,
                    precision=track.precision,
                    times=[position.at for position in track.points],
                    accuracy_m=[position.acc for position in track.points],
                ),
            )
        )
    return msgspec.json.encode(FeatureCollection(features))


def gpx(tracks: Iterable[MemberTrack]) -> str:
    """A `trk` for each member with points; times are UTC. GPX 1.1 has no place for accuracy."""
    document = GPX()
    document.creator = "Partyline"
    for track in tracks:
        if not track.points:
            continue
        line = GPXTrack(name=_NOT_XML.sub("\ufffd", track.name), number=track.m)
        if track.precision is not Precision.EXACT:
            line.description = "rough: centres of cells, not places"
        segment = GPXTrackSegment()
        segment.points.extend(
            GPXTrackPoint(p.lat, p.lon, time=_EPOCH + timedelta(milliseconds=p.at)) for p in track.points
        )
        line.segments.append(segment)
        document.tracks.append(line)
    return str(document.to_xml(version="1.1"))


def prefers_gpx(accept: str) -> bool:
    """Whether an `Accept` header wants GPX more than GeoJSON (RFC 9110, 12.5.1). Nothing or nonsense: no."""
    weights = _weights(accept)
    return _weight(weights, GPX_XML) > max(_weight(weights, GEOJSON), _weight(weights, "application/json"))


def _weights(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in accept.split(",")[:32]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if re.fullmatch(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)", parameter):
                weight = float(parameter[2:])
        weights[media] = weight
    return weights


def _weight(weights: dict[str, float], media: str) -> float:
    for wanted in (media, media.split("/", 1)[0] + "/*", "*/*"):
        if wanted in weights:
            return weights[wanted]
    return 0.0
