"""Files are read as they are; what cannot be sent is counted, what is broken is named with its line."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.readings import TrackError, parse_time
from load_tests.tracks import read_all, read_tracks

GPS = Path(__file__).parents[3] / "shared" / "gps"
needs_recordings = pytest.mark.skipif(not GPS.is_dir(), reason="the recordings are not beside the repository")

POINT = '<trkpt lat="37.5" lon="127.0"><time>2024-05-01T10:00:00Z</time></trkpt>'


def ndjson(tmp_path: Path, *lines: str, name: str = "party.ndjson") -> Path:
    path = tmp_path / name
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def gpx(tmp_path: Path, *tracks: str, name: str = "ride.gpx") -> Path:
    path = tmp_path / name
    body = "\n".join(f"<trk><trkseg>\n{points}\n</trkseg></trk>" for points in tracks)
    path.write_text(f'<gpx version="1.1" creator="test">\n{body}\n</gpx>')
    return path


def line(person: str = "a", t: str = '"2024-05-01T10:00:00Z"', lat: str = "37.5", extra: str = "") -> str:
    return f'{{"person":"{person}","t":{t},"lat":{lat},"lon":127.0{extra}}}'


@pytest.mark.parametrize("name", ["party.ndjson", "party.ndjson.gz"])
def test_a_member_a_person_in_the_sources_own_order(tmp_path: Path, name: str) -> None:
    later, earlier = '"2024-05-01T10:00:05.250Z"', '"2024-05-01T10:00:00Z"'
    tracks = read_tracks(ndjson(tmp_path, line("b", later), line("a"), line("b", earlier), name=name))
    assert [track.member for track in tracks] == ["b", "a"]
    assert [reading.at for reading in tracks[0].readings] == [1_714_557_605_250, 1_714_557_600_000]


def test_a_track_on_the_line_is_the_member_and_recv_is_kept(tmp_path: Path) -> None:
    extra = ',"track":"a/1","recv":"2024-05-01T10:00:07Z"'
    (track,) = read_tracks(ndjson(tmp_path, line(extra=extra)))
    assert track.member == "a/1"
    assert track.readings[0].recv == 1_714_557_607_000


def test_what_cannot_be_sent_is_counted_by_its_reason(tmp_path: Path) -> None:
    (track,) = read_tracks(
        ndjson(
            tmp_path,
            line(),
            line(t="null"),
            line(t='"yesterday"'),
            line(t='"99999-01-01T00:00:00Z"'),
            line(lat="null"),
        )
    )
    assert len(track.readings) == 1
    assert track.unusable == Counter(no_time=1, bad_time=2, no_place=1)


def test_what_is_merely_absurd_is_kept(tmp_path: Path) -> None:
    lines = (line(t='"1901-12-13T20:45:52Z"'), line(lat="6862345.25"), line(t='"1970-01-01T00:00:00Z"'))
    (track,) = read_tracks(ndjson(tmp_path, *lines))
    assert [reading.at for reading in track.readings] == [-2_147_483_648_000, 1_714_557_600_000, 0]
    assert track.readings[1].lat == 6862345.25


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([line(), "{not json"], 2),
        ([line(), "", '{"person": 7}'], 3),
        (["[" * 100_000], 1),
        ([line(), line(lat='"north"')], 2),
        ([line(lat="NaN")], 1),
        (["\udcff".encode("utf-8", "surrogatepass").decode("latin-1")], 1),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, lines: list[str], number: int) -> None:
    with pytest.raises(TrackError, match=f"party.ndjson, line {number}: ") as caught:
        read_tracks(ndjson(tmp_path, *lines))
    assert "north" not in str(caught.value)


def test_a_cut_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.ndjson.gz"
    path.write_bytes(gzip.compress("\n".join([line()] * 500).encode())[:-20])
    with pytest.raises(TrackError, match="not a whole gzip file"):
        read_tracks(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(TrackError, match="line 1: is not a whole gzip file"):
        read_tracks(path)


def test_gpx_makes_a_member_a_track(tmp_path: Path) -> None:
    tracks = read_tracks(gpx(tmp_path, POINT + POINT, "", POINT))
    assert [(track.member, len(track.readings)) for track in tracks] == [("ride 1", 2), ("ride 3", 1)]
    assert tracks[0].readings[0].at == 1_714_557_600_000


def test_gpx_times_without_a_zone_are_utc_and_missing_ones_are_counted(tmp_path: Path) -> None:
    naive = POINT.replace("Z</time>", "</time>")
    (track,) = read_tracks(gpx(tmp_path, naive + '<trkpt lat="1" lon="2"/>'))
    assert track.readings[0].at == 1_714_557_600_000
    assert track.unusable == Counter(no_time=1)


def test_gpx_numbers_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    (track,) = read_tracks(gpx(tmp_path, POINT + POINT.replace("37.5", "nan")))
    assert (len(track.readings), track.unusable) == (1, Counter(not_finite=1))


@pytest.mark.parametrize(
    ("points", "number"),
    [
        (f'{POINT}\n<trkpt lat="north" lon="2"/>', 4),
        (f'{POINT}\n{POINT}\n<trkpt lon="2"/>', 5),
        ('<trkpt lat="1" lon="2">\n<ele>high</ele></trkpt>', 4),
        ("<trkpt", 4),
        ("&undefined;", 3),
    ],
)
def test_broken_gpx_is_named_with_its_line(tmp_path: Path, points: str, number: int) -> None:
    with pytest.raises(TrackError, match=f"ride.gpx, line {number}: ") as caught:
        read_tracks(gpx(tmp_path, points))
    assert "37.5" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.gpx", "", "no element found"),
        ("a.gpx", "<html/>", "is XML, but not GPX"),
        ("a.gpx", "<gpx/>", "holds no fix"),
        ("a.gpx", '<?xml version="1.0" encoding="klingon"?><gpx/>', "line 1: "),
        ("a.ndjson", "", "holds no fix"),
        ("a.kml", "", "neither"),
    ],
)
def test_what_is_no_track_is_refused(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TrackError, match=says):
        read_tracks(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gpx", tmp_path / "none.ndjson", tmp_path / "none.ndjson.gz"):
        with pytest.raises(TrackError, match="No such file"):
            read_tracks(path)
    (tmp_path / "dir.gpx").mkdir()
    with pytest.raises(TrackError, match="Is a directory"):
        read_tracks(tmp_path / "dir.gpx")


def test_members_of_several_files_keep_apart(tmp_path: Path) -> None:
    paths = [ndjson(tmp_path, line("a"), name=name) for name in ("one.ndjson", "two.ndjson", "three.ndjson")]
    assert [track.member for track in read_all(paths)] == ["a", "a (2)", "a (3)"]


@settings(max_examples=150)
@given(data=st.binary(max_size=300), name=st.sampled_from(["x.gpx", "x.ndjson", "x.ndjson.gz"]))
def test_arbitrary_bytes_are_tracks_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("noise") / name
    path.write_bytes(data)
    with pytest.raises(TrackError):
        read_tracks(path)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    at = parse_time(text)
    assert at is None or abs(at) < 2**53


@needs_recordings
@pytest.mark.parametrize(
    ("name", "members", "readings", "unusable"),
    [
        ("helsinki-trafficsense.ndjson.gz", 8, 6_030, {}),
        ("whitchurch-multidevice.ndjson.gz", 8, 30_910, {}),
        ("vincennes-tracklib.ndjson.gz", 17, 55_145, {}),
        ("gpx-misc.ndjson.gz", 15, 13_904, {"no_time": 603}),
        ("sfbay-emission.ndjson.gz", 9, 10_187, {}),
        ("sfbay-emission-arrival.ndjson.gz", 27, 10_187, {}),
        ("broken1.gpx", 1, 3_497, {}),
        ("apple_watch_route.gpx", 1, 44, {}),
        ("multitrackgpx.gpx", 3, 117, {}),
        ("cerknicko-jezero.gpx", 7, 296, {}),
        ("korita-zbevnica.gpx", 3, 513, {"no_time": 358}),
    ],
)
def test_every_line_of_the_recordings_is_a_reading_or_counted(
    name: str, members: int, readings: int, unusable: dict[str, int]
) -> None:
    tracks = read_tracks(GPS / name)
    assert len(tracks) == members
    assert sum(len(track.readings) for track in tracks) == readings
    assert sum((track.unusable for track in tracks), Counter()) == Counter(unusable)
