"""What a real gateway says of a rough or private member, by every way that it says anything at all.

The place has digits that are looked for in everything that an attacker can read.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from contextlib import suppress
from typing import Any

import pytest

from protocol.limits import BEAT_MS
from server.up import Up
from tests.attacks.people import metres
from tests.e2e.conftest import Phone, http, new_session, now_ms, rows

LAT, LON = 37.5731928, 126.9768374
DIGITS = ("37.57", "126.97", "126.98")
"""What each place below begins with. A cell's centre may begin so too: those are taken out before."""
STEP = 1e-5


async def heard(phone: Phone, seconds: float) -> list[dict[str, Any]]:
    """What comes within so many seconds."""
    already, until = len(phone.seen), time.monotonic() + seconds
    with suppress(TimeoutError):
        while (left_s := until - time.monotonic()) > 0:
            await phone.next(left_s)
    return phone.seen[already:]


async def send_walk(phone: Phone, start: int, steps: int, every_ms: int, **more: object) -> int:
    """Fixes going north a metre a step, the newest now; waits for their ack."""
    seq = 0
    for n in range(steps):
        seq = await phone.fix(LAT + n * STEP, LON, at=start + n * every_ms, **more)
    await phone.acked(seq)
    return seq


def positions(messages: list[dict[str, Any]], m: int) -> list[list[Any]]:
    return [row for message in messages if message["t"] == "positions" for row in message["p"] if row[0] == m]


def telling(text: str, centres: set[tuple[float, float]]) -> list[str]:
    """Numbers in the text that begin like the place and are no centre of a cell that was shown."""
    known = {repr(value) for centre in centres for value in centre}
    return [n for n in re.findall(r"\d+\.\d+", text) if n.startswith(DIGITS) and n not in known]


def raw(up: Up, path: str, token: str = "", **headers: str) -> str:
    """Status, headers and body of an answer, as text."""
    request = urllib.request.Request(up.http + path, headers=headers)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return f"{answer.status}\n{answer.headers}\n{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code}\n{error.headers}\n{error.read().decode()}"


async def test_viewers_late_joiners_and_who_comes_back_see_the_same_cell(up: Up) -> None:
    session = new_session(up, "rough", rough_cell_m=1000, started_at=now_ms() - 3_600_000)
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    viewers = [await Phone.join(up, session["sharable_token"], f"Bo {n}") for n in range(3)]
    m, steps = ana.welcome["you"], 120
    start = now_ms() - steps * 1000
    await send_walk(ana, start, steps, 1000, acc=3.5, spd=1.25, hdg=91.5, alt=12.5, bat=0.5)
    late = await Phone.join(up, session["sharable_token"], "Late")
    back = await Phone.resume(up, viewers[0].welcome["member_token"])
    shown = [positions(await heard(viewer, 1), m) or positions(viewer.seen, m) for viewer in viewers[1:]]
    assert shown[0] == shown[1]
    rows_seen = [tuple(row) for row in positions(viewers[1].seen, m)]
    assert len(rows_seen) == len({row[1] for row in rows_seen}), "a beat was shown twice: when a fix came"
    for row in rows_seen:
        assert row[1] % BEAT_MS == 0
        assert row[4:] == (708.0, None, None)
    for welcome in (late.welcome, back.welcome):
        assert [tuple(row) for row in welcome["positions"] if row[0] == m] == rows_seen[-1:]
    said = json.dumps([viewer.seen for viewer in viewers] + [late.seen, back.seen])
    assert telling(said, {(row[2], row[3]) for row in rows_seen}) == []
    assert not {"ack", "reject"} & {message["t"] for viewer in viewers for message in viewer.seen}
    for stored in await rows(up, session["session"]):
        assert (stored["precision"], stored["accuracy_m"]) == ("rough", 708)
        assert (stored["start_ms"] + stored["fix_offset_ms"]) % BEAT_MS == 0


async def test_nothing_is_heard_of_a_private_member_who_sends(up: Up) -> None:
    session = new_session(up, started_at=now_ms() - 3_600_000)
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    ana = await Phone.join(up, session["sharable_token"], "Ana", precision="private")
    assert (await bo.until("member", m=ana.welcome["you"]))["state"] == "private"
    before = [raw(up, f"/v1/sessions/{session['session']}{what}", bo.welcome["member_token"]).split("\n\n")[-1] for what in ("", "/members")]  # fmt: skip
    await send_walk(ana, now_ms() - 60_000, 40, 1500)
    assert await heard(bo, 2) == []
    after = [raw(up, f"/v1/sessions/{session['session']}{what}", bo.welcome["member_token"]).split("\n\n")[-1] for what in ("", "/members")]  # fmt: skip
    assert before == after
    assert await rows(up, session["session"]) == []
    _, track = http(up, "GET", f"/v1/sessions/{session['session']}/track", token=bo.welcome["member_token"])
    assert track["features"] == []
    _, summary = http(up, "GET", f"/v1/sessions/{session['session']}/summary", token=session["host"]["member_token"])  # fmt: skip
    assert summary == {"members": [], "delay_ms": {"p50": None, "p95": None, "p99": None, "n": 0}}


async def test_rejects_errors_closes_problems_metrics_and_logs_hold_no_place(up: Up) -> None:
    session = new_session(up, "rough", rough_cell_m=1000, started_at=now_ms() - 3_600_000)
    bo = await Phone.join(up, session["sharable_token"], "Bo")
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    await send_walk(ana, now_ms() - 10_000, 3, 1000)
    for at, lat in (
        (0, LAT),
        (now_ms() + 3_600_000, LAT),
        (now_ms() - 3_000_000, LAT),
        (now_ms(), 137.5731928),
    ):
        seq = await ana.fix(lat, LON, at=at)
        assert set(await ana.until("reject", seq=seq)) == {"t", "seq", "code"}
    await ana.say(t="fix", seq=99, at=now_ms(), lat=LAT, lon=f"{LON}")
    assert await ana.closed() == 4500
    assert ana.seen[-1] == {"t": "error", "code": "bad_frame"}
    assert ana.socket.close_reason == "bad_frame"
    token, path = bo.welcome["member_token"], f"/v1/sessions/{session['session']}"
    answers = [
        raw(up, f"{path}/track?from={LAT}", token),
        raw(up, f"{path}/track?member={LON}", token),
        raw(up, f"{path}/{LAT}", token),
        raw(up, f"/v1/sessions/{LAT}", token),
        raw(up, path, token, **{"X-Place": f"{LAT}"}),
        raw(up, "/metrics"),
        raw(up, "/readyz"),
        raw(up, "/healthz"),
    ]
    logs = [log.read_text(errors="replace") for log in up.data_dir.glob("*.log")]
    centres = {(row[2], row[3]) for row in positions(bo.seen, ana.welcome["you"])}
    assert telling("\n".join([*answers, *logs, json.dumps(bo.seen)]), centres) == []


class TrackReader:
    """Reads a session back in every way, and keeps each place that any answer gave."""

    def __init__(self, up: Up, session: int, token: str) -> None:
        self._up, self._path, self._token = up, f"/v1/sessions/{session}", token
        self.places: set[tuple[float, float]] = set()
        self.texts: list[str] = []
        self.times: set[int] = set()

    def read(self, query: str = "") -> None:
        status, track = http(self._up, "GET", f"{self._path}/track{query}", token=self._token)
        assert status == 200
        self.texts.append(json.dumps(track))
        for feature in track["features"]:
            geometry = feature["geometry"]
            line = geometry["coordinates"] if geometry["type"] == "LineString" else [geometry["coordinates"]]
            self.places.update((lat, lon) for lon, lat in line)
            self.times.update(feature["properties"]["times"])

    def read_all(self, start: int, end: int) -> None:
        self.read()
        for points in (2, 3, 10_000):
            self.read(f"?points={points}")
        for at in range(start, end, 17_000):  # cut anywhere
            self.read(f"?from={at}")
            self.read(f"?to={at}")
            self.read(f"?from={at}&to={at + 4999}")
        self.texts.append(raw(self._up, f"{self._path}/track", self._token, Accept="application/gpx+xml"))
        self.texts.append(raw(self._up, f"{self._path}/summary", self._token))


@pytest.mark.slow
async def test_tracks_after_exact_rough_exact_rough(up: Up) -> None:
    """An exact hour that is rough now, with another exact while in it: no reading gives a place or a time."""
    start = now_ms() - 1_800_000
    session = new_session(up, rough_cell_m=1000, started_at=start)
    host = await Phone.resume(up, session["host"]["member_token"])
    ana = await Phone.join(up, session["sharable_token"], "Ana")
    reader = TrackReader(up, session["session"], session["host"]["member_token"])
    await send_walk(ana, start, 60, 5_000)
    reader.read()
    assert len(reader.places) >= 50, (
        "while it is exact it is read as exact, or the search below proves nothing"
    )
    await host.say(t="set_precision", precision="rough")
    await host.until("precision", precision="rough")
    await send_walk(ana, start + 400_000, 60, 5_000)
    await host.say(t="set_precision", precision="exact")
    await host.until("precision", precision="exact")
    await ana.say(t="share", precision="exact")
    await send_walk(ana, start + 800_000, 60, 5_000)
    await host.say(t="set_precision", precision="rough")
    await host.until("precision", precision="rough")
    stored = [row["precision"] for row in await rows(up, session["session"])]
    assert {"exact", "rough"} == set(stored)
    for token in (session["host"]["member_token"], ana.welcome["member_token"]):
        reader = TrackReader(up, session["session"], token)
        reader.read()
        whole, whole_times = set(reader.places), set(reader.times)
        reader.read_all(start, start + 1_100_000)
        assert reader.places == whole, "a cut told another cell"
        assert reader.times == whole_times
        assert all(at % BEAT_MS == 0 for at in whole_times)
        assert len(whole) <= 3
        assert telling("\n".join(reader.texts), whole) == []
        assert all(metres((LAT, LON), place) < 1500 for place in whole)


@pytest.mark.slow
async def test_a_restarted_gateway_goes_on_with_the_cell_that_was_shown(own_up: Up) -> None:
    start = now_ms() // BEAT_MS * BEAT_MS - 20 * BEAT_MS
    session = new_session(own_up, "rough", rough_cell_m=1000, started_at=start)
    ana = await Phone.join(own_up, session["sharable_token"], "Ana")
    await ana.acked(await ana.fix(LAT, LON, at=start + BEAT_MS))
    bo = await Phone.join(own_up, session["sharable_token"], "Bo")
    (before,) = bo.welcome["positions"]
    own_up.processes["gateway"].kill()
    own_up.processes["gateway"].wait()
    own_up.start_process("gateway")
    own_up._wait_until_ready()
    ana = await Phone.resume(own_up, ana.welcome["member_token"])
    assert [row[2:4] for row in ana.welcome["positions"]] == [before[2:4]]
    # Three kilometres further and a minute later: a mask that has forgotten would jump there at once.
    await ana.fix(LAT + 0.027, LON, at=start + 2 * BEAT_MS)
    (row,) = (await ana.until("positions"))["p"]
    assert row[2:4] == before[2:4]
    await ana.fix(LAT + 0.027, LON, at=start + 9 * BEAT_MS)
    (row,) = (await ana.until("positions"))["p"]
    assert row[2:4] != before[2:4]
