"""One session whose host tightens again and again, with a watcher at every gateway; what each tightening took.

Finer than allowed is: an exact row that was not at a watcher's socket when the call returned, before the host
asks for a loosening; or, after `private`, any row. And an exact row of the table that was not there at the
return. (What is written between the return and the look, a millisecond or two, comes after `precision` on the
same connection: `Watcher.after_being_told`.)
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import psycopg

from tests.chaos.disturbing import Disturber
from tests.chaos.fleet import Fleet
from tests.chaos.streamers import Streamers
from tests.chaos.watcher import Watcher
from tests.e2e.conftest import now_ms

ANSWER_S = 10.0
AGAIN_S = 0.2
SETTLED_S = 1.5
"""After a disturbance has ended, calls are called healthy from then on."""
LASTS_AT_MOST_S = 60.0


@dataclass
class Times:
    """Of tightenings that returned, seconds."""

    healthy: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    """HTTP status of calls that were not done, 0 for no answer; each was made again."""


class Racer(threading.Thread):
    """Makes its session and its watchers, then runs `rounds` as a thread."""

    def __init__(
        self,
        fleet: Fleet,
        streamers: Streamers,
        disturber: Disturber,
        *,
        seed: str,
        rounds: int,
        start_ms: int,
    ) -> None:
        super().__init__()
        self._fleet, self._streamers, self._disturber = fleet, streamers, disturber
        self._random = Random(seed)
        self._rounds = rounds
        self._http = httpx.Client(timeout=ANSWER_S, trust_env=False)
        made = self._made(start_ms)
        self.session: int = made["session"]
        self._host: str = made["host"]["member_token"]
        self._streams = [url.replace("http", "ws") + "/v1/stream" for url in fleet.urls]
        streamers.add(self.session, self._streams, made["sharable_token"])
        self.watchers = [Watcher(stream, self._host) for stream in self._streams]
        self.times = Times()
        self.finer: list[str] = []
        """Evidence, a line each."""
        self.seen_exact = 0
        """Tightenings before which somebody was seen exactly."""
        self.mistake: BaseException | None = None

    def _made(self, start_ms: int) -> Any:
        options = {"tick_ms": 250, "started_at": start_ms}
        body = {"display_name": "Host", "precision": "exact", "options": options}
        answer = self._http.post(f"{self._fleet.urls[0]}/v1/sessions", json=body)
        assert answer.status_code == 201, answer.status_code
        return answer.json()

    def run(self) -> None:
        try:
            with psycopg.connect(self._fleet.database_url, autocommit=True) as self._database:
                for number in range(self._rounds):
                    self._round(number)
        except BaseException as mistake:
            self.mistake = mistake
        finally:
            self._http.close()
            for watcher in self.watchers:
                watcher.close()

    # --- a round ------------------------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        self._wait_for_exact()
        self._read(self._random.uniform(0, 1.0))
        to = self._random.choice(["rough", "private"])
        began = time.monotonic()
        took_s = self._change(to)
        for watcher in self.watchers:
            watcher.read()  # what was sent before the return
        rows = self._exact_rows()
        quiet = self._disturber.was_quiet_since(began, SETTLED_S)
        (self.times.healthy if quiet else self.times.disturbed).append(took_s)
        for gateway, row in self._read(self._random.choice([0.1, 0.3, 0.6])) + self._until_it_is_over():
            if row[4] == 5.0 or to == "private":
                self.finer.append(
                    f"round {number}, gateway {gateway}: a row of accuracy {row[4]} after {to} had returned at"
                    f" {began + took_s:.3f}, seen by {time.monotonic():.3f}; disturbed: {self._disturber.victim}"
                )
        more = self._exact_rows() - rows
        if more:
            self.finer.append(f"round {number}: {more} exact rows stored after {to} had returned")
        self._change("exact")

    def _until_it_is_over(self) -> list[tuple[int, Any]]:
        """Every other time: what comes until a gateway that is disturbed is back, and a little later."""
        rows: list[tuple[int, Any]] = []
        if self._random.random() < 0.5:
            end = time.monotonic() + LASTS_AT_MOST_S
            while self._disturber.victim is not None and time.monotonic() < end:
                rows += self._read(0.1)
            rows += self._read(0.7)
        return rows

    def _wait_for_exact(self) -> None:
        """Until somebody is seen exactly; the members say their yes until then."""
        deadline = time.monotonic() + LASTS_AT_MOST_S
        while time.monotonic() < deadline:
            self._streamers.share_exact(self.session)
            if any(row[4] == 5.0 for _, row in self._read(0.5)):
                self.seen_exact += 1
                return
        raise AssertionError("nobody was seen exactly for a minute")

    def _read(self, seconds: float) -> list[tuple[int, Any]]:
        """(gateway, row) of all that the watchers are told within that time."""
        rows: list[tuple[int, Any]] = []
        end = time.monotonic() + seconds
        while True:
            for gateway, watcher in enumerate(self.watchers):
                rows += [(gateway, row) for row in watcher.read(0.01)]
            if time.monotonic() >= end:
                return rows

    def _change(self, to: str) -> float:
        """Asks until it is done; returns how long the call took that did it, seconds."""
        deadline = time.monotonic() + LASTS_AT_MOST_S
        while time.monotonic() < deadline:
            with self._disturber.calling(self._random) as gateway:
                began = time.monotonic()
                status = self._called(gateway, to)
                if status == 200:
                    return time.monotonic() - began
            self.times.failed.append(status)
            time.sleep(AGAIN_S)
        raise AssertionError(f"{to} was not done within a minute: {self.times.failed[-5:]}")

    def _called(self, gateway: int, to: str) -> int:
        try:
            return self._http.patch(
                f"{self._fleet.urls[gateway]}/v1/sessions/{self.session}",
                json={"precision": to},
                headers={"Authorization": f"Bearer {self._host}"},
            ).status_code
        except httpx.HTTPError:
            return 0

    def _exact_rows(self) -> int:
        found = self._database.execute(
            "SELECT count(*) FROM party_positions WHERE session_id = %s AND precision = 'exact'",
            [self.session],
        ).fetchone()
        return int(found[0]) if found else 0


def started_at_ms() -> int:
    """So long ago that each fix has a window of its own."""
    return now_ms() - 6 * 24 * 3_600_000
