"""Plays recorded tracks as a party: one honest phone a track, each fix at its time, and an account of all.

Knows no terminal: the caller passes in the wall clock, the randomness, the wish to stop, and what is to be
told of the progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from load_tests.account import ReplayAccount
from load_tests.cannot_start import CannotStart
from load_tests.party_file import SavedMember, SavedParty
from load_tests.party_http import create_party, stream_url
from load_tests.phone import Phone
from load_tests.place import Place
from load_tests.player import Player, account_of, display_name, why_not
from load_tests.readings import Track
from load_tests.shift import Shift, due_s, shifts, started_at, timing
from protocol.client import ClientSession
from protocol.codec import Codec
from protocol.limits import MAX_FIXES
from protocol.options import Options, RoughCell
from protocol.precision import Precision, coarsest

MAX_TRACKS = 499
"""A session has at most 500 members, and the host is one."""
IN_FLIGHT = 2_000
"""As fast as can be means: a member has at most so many fixes that are not settled."""
JOIN_S = 30.0
"""Seconds in which all members must be welcomed."""
LOOK_S = 0.1
"""Seconds between two looks at the progress."""


class Outcome(StrEnum):
    """How a replay ended."""

    DONE = "done"
    STOPPED = "stopped"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Play:
    """How to play. `speed` is `None` for as fast as the acks allow."""

    bases: list[str]
    codec: Codec
    speed: float | None = 1.0
    shift_to_now: bool = False
    precision: Precision = Precision.EXACT
    rough_cell_m: RoughCell = 500
    live_only: bool = False
    ttl_hours: int | None = None
    batch: int | None = None
    """Fixes in a message; `None`: one at a set speed, as many as the wire takes without one."""
    timeout_s: float = 60.0
    """Give up when all is sent and nothing was settled for this long."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Sums over all members, in fixes."""

    read: int
    offered: int
    acked: int
    rejected: int
    held: int


class Replay:
    """One replay: `join`, `play`, `close`, then `account` and `saved`."""

    def __init__(
        self,
        tracks: Sequence[Track],
        play: Play,
        *,
        now_ms: int,
        random: Random,
        resume: SavedParty | None = None,
    ) -> None:
        """Raises `CannotStart` for more tracks than a session has members."""
        self._play, self._now_ms, self._random = play, now_ms, random
        self._all = list(tracks)
        usable = [track for track in tracks if track.readings]
        if len(usable) > MAX_TRACKS:
            raise CannotStart(
                f"These are {len(usable)} tracks; a party has room for {MAX_TRACKS}: give fewer files."
            )
        timings = [timing(track.readings) for track in usable]
        moved = shifts(timings, now_ms, play.speed, to_now=play.shift_to_now)
        self._players = [Player(*each) for each in zip(usable, timings, moved, strict=True)]
        self.party = resume
        for player in self._players:
            known = resume.members.get(player.track.member) if resume else None
            if known is not None:
                player.shift = Shift(known.delta_ms, player.shift.origin)
                player.windows.update(known.windows)

    # --- the way of a replay ---------------------------------------------------------------------

    async def join(self) -> SavedParty:
        """Make the session if there is none, and bring in all members. Raises `CannotStart`."""
        party = self.party = self.party or await self._create()
        for number, player in enumerate(self._players):
            player.phone = self._phone(party, player, number)
            player.phone.start()
        try:
            async with asyncio.timeout(JOIN_S):
                for player in self._players:
                    await player.phone.joined()
        except TimeoutError:
            raise CannotStart(
                f"The server at {self._play.bases[0]} takes no WebSocket at /v1/stream; look at its log."
            ) from None
        for player in self._players:
            if player.phone.gave_up is not None:
                raise CannotStart(why_not(player.phone.gave_up))
        return self.saved()

    async def play(self, stop: asyncio.Event, report: Callable[[Progress], None]) -> Outcome:
        """Send every fix at its time and wait for what becomes of it."""
        clock = asyncio.get_running_loop().time
        start = clock()
        feeders = [asyncio.create_task(self._feed(player, start)) for player in self._players]
        before, moved_at = self.progress(), start
        try:
            while True:
                now = self.progress()
                report(now)
                if now != before:
                    before, moved_at = now, clock()
                all_sent = all(feeder.done() for feeder in feeders)
                if all_sent and all(self._is_settled(player) for player in self._players):
                    return Outcome.DONE
                if (all_sent or self._play.speed is None) and clock() - moved_at >= self._play.timeout_s:
                    return Outcome.STALLED
                try:
                    await asyncio.wait_for(stop.wait(), LOOK_S)
                except TimeoutError:
                    continue
                return Outcome.STOPPED
        finally:
            for feeder in feeders:
                feeder.cancel()
            await asyncio.wait(feeders)
            for feeder in feeders:
                if not feeder.cancelled() and (error := feeder.exception()):
                    raise error

    async def close(self) -> None:
        """Take all phones off the network. May come twice, and before `join`."""
        await asyncio.gather(*(p.phone.stop() for p in self._players if hasattr(p, "phone")))

    # --- what can be said about it ---------------------------------------------------------------

    def progress(self) -> Progress:
        accounts = [player.phone.session.account for player in self._players]
        return Progress(
            read=sum(len(player.track.readings) for player in self._players),
            offered=sum(one.offered for one in accounts),
            acked=sum(one.acked for one in accounts),
            rejected=sum(sum(one.rejected.values()) for one in accounts),
            held=sum(one.held for one in accounts),
        )

    def saved(self) -> SavedParty:
        """The party as it is to be kept for a later replay of the same file; call it after `join`."""
        assert self.party is not None  # noqa: S101  (join made it)
        for player in self._players:
            token = player.phone.session.member_token
            self.party.members[player.track.member] = SavedMember(
                token, player.shift.delta_ms, sorted(player.windows)
            )
        return self.party

    def account(self, outcome: Outcome) -> ReplayAccount:
        """The account so far; call it after `join`."""
        party = self.saved()
        played = {player.track.member: player for player in self._players}
        return ReplayAccount(
            session=party.session,
            started_at=party.started_at,
            outcome=outcome.value,
            precision_seen=coarsest(party.precision, *(player.precision for player in self._players)),
            live_only=party.live_only,
            members=[account_of(track, played.get(track.member)) for track in self._all],
        )

    # --- the parts of it -------------------------------------------------------------------------

    async def _create(self) -> SavedParty:
        play = self._play
        begin = started_at(
            [player.timing for player in self._players],
            [player.shift.delta_ms for player in self._players],
            self._now_ms,
        )
        made = await create_party(
            play.bases,
            display_name="Replay",
            precision=play.precision,
            options=Options(
                rough_cell_m=play.rough_cell_m,
                max_members=max(50, len(self._players) + 1),
                ttl_hours=play.ttl_hours,
                live_only=play.live_only,
                started_at=begin,
            ),
        )
        return SavedParty(
            session=made.session,
            sharable_token=made.sharable_token,
            join_url=made.join_url,
            host_member_token=made.host.member_token,
            precision=made.precision,
            live_only=play.live_only,
            started_at=begin,
        )

    def _phone(self, party: SavedParty, player: Player, number: int) -> Phone:
        known = party.members.get(player.track.member)
        session = ClientSession(
            self._play.codec,
            name=display_name(player.track.member),
            token=party.sharable_token,
            member_token=known.member_token if known else "",
        )
        batch = self._play.batch or (MAX_FIXES if self._play.speed is None else 1)
        return Phone(
            session,
            self._play.codec,
            Place.each([stream_url(base) for base in self._play.bases], number),
            batch=batch,
            jitter=self._random.random,
            seen=player.seen,
        )

    async def _feed(self, player: Player, start: float) -> None:
        clock = asyncio.get_running_loop().time
        phone, speed = player.phone, self._play.speed
        for index, reading in enumerate(player.track.readings):
            if speed is None:
                await phone.room(IN_FLIGHT)
                wait_s = 0.0
            else:
                wait_s = start + due_s(player.timing, index, player.shift.origin, speed) - clock()
            if wait_s > 0 or index % MAX_FIXES == 0:
                await asyncio.sleep(max(0.0, wait_s))
            if phone.gave_up is not None:
                return
            phone.offer(
                reading.at + player.shift.delta_ms,
                reading.lat,
                reading.lon,
                acc=reading.acc,
                spd=reading.spd,
                alt=reading.alt,
            )

    @staticmethod
    def _is_settled(player: Player) -> bool:
        return player.phone.gave_up is not None or player.phone.session.account.held == 0
