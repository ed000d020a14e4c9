"""A whole run: rounds in which every subject has its turn, then what only Partyline has.

Interleaved, so that what the machine does meanwhile falls on all. In each round every server is started
fresh: memory that an earlier load left behind would be used again and not be seen.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from load_tests.bench.database import copy_rows_s, days_ago, remove_day, writer_rows_s
from load_tests.bench.partyline_round import PartylineRound
from load_tests.bench.peers import measure_peer
from load_tests.bench.phone import LoadError
from load_tests.bench.plan import Plan
from load_tests.bench.prerequisites import Absent, Cache
from load_tests.bench.proc import ProcessGone
from load_tests.bench.results import OURS, Results
from load_tests.bench.running import DidNotStart, Running
from load_tests.bench.servers import Subject, owner_urls

ROUND_PARTS = 5
"""Steps of the progress that Partyline's round takes: start, peer, many, busy, database."""
Say = Callable[[str], None]
"""Called at the begin of each step with what it does."""


@dataclass(frozen=True)
class Run:
    """What is run."""

    subjects: Sequence[Subject]
    plan: Plan
    cache: Cache
    say: Say

    def steps(self) -> int:
        """How often `say` is called."""
        each = sum(ROUND_PARTS if one.is_partyline else 1 for one in self.subjects)
        return each * self.plan.rounds

    def measure(self, results: Results) -> None:
        """Everything. Ctrl-C raises out of it; `results` holds what was done so far."""
        peers = [one for one in self.subjects if not one.is_partyline]
        ours = next((one for one in self.subjects if one.is_partyline), None)
        for number in range(1, self.plan.rounds + 1):
            with tempfile.TemporaryDirectory(prefix="partyline-bench-") as folder:
                self._round(number, peers, ours, results, Path(folder))

    def _round(
        self, number: int, peers: Sequence[Subject], ours: Subject | None, results: Results, folder: Path
    ) -> None:
        with self._started(ours, results, folder) as up:
            for peer in peers:
                self.say(f"round {number}: {peer.name}")
                if peer.name not in results.skipped:
                    with self._started(peer, results, folder) as running, _named(peer.name, results):
                        if running is not None:
                            peer.wait_ready(running)
                            measure_peer(peer, running, self.plan, results)
            if ours is not None:
                self._ours(number, ours, up, results)

    @contextmanager
    def _started(self, subject: Subject | None, results: Results, folder: Path) -> Iterator[Running | None]:
        """The subject, on its way up; stopped at the end. `None` where it is absent."""
        running = None
        try:
            if subject is not None and subject.name not in results.skipped:
                running = subject.start(self.cache, folder)
        except Absent as absent:
            results.skipped[subject.name if subject else ""] = str(absent)
        try:
            yield running
        finally:
            if running is not None:
                running.stop()

    def _ours(self, number: int, subject: Subject, up: Running | None, results: Results) -> None:
        begin = f"round {number}: Partyline"
        self.say(f"{begin} starts")
        if up is None:
            return
        with _named(OURS, results):
            subject.wait_ready(up)
            party = PartylineRound(up, self.plan, results)
            try:
                self.say(begin)
                party.peer_part()
                self.say(f"{begin}, many connections")
                if self.plan.many and number == self.plan.rounds:
                    party.many_part()
                self.say(f"{begin}, 70 % CPU")
                if number == self.plan.rounds:
                    party.busy_part()
                self.say(f"{begin}, database")
                asyncio.run(self._database(up, party, results, last=number == self.plan.rounds))
            finally:
                party.close()

    async def _database(self, up: Running, party: PartylineRound, results: Results, *, last: bool) -> None:
        database_url, redis_url = owner_urls(up)
        now, rows = datetime.now(UTC), self.plan.writer_rows
        party.end_begins()
        try:
            database = await asyncpg.connect(database_url)
            redis = Redis.from_url(redis_url)
            try:
                if last:
                    witness = await asyncpg.connect(database_url)
                    try:
                        days = (days_ago(now, 3), days_ago(now, 5))
                        removal = await remove_day(database, witness, days, self.plan.drop_rows)
                    finally:
                        await witness.close(timeout=10)
                    results.add(OURS, "drop", removal.drop_s)
                    results.add(OURS, "drop_waited", removal.drop_waited_s)
                    results.add(OURS, "keeper", removal.keeper_s)
                    results.add(OURS, "delete", removal.delete_s)
                    results.add(OURS, "delete_vacuum", removal.delete_s + removal.vacuum_s)
                results.add(OURS, "copy_rate", await copy_rows_s(database, days_ago(now, 5), rows))
                party.end()
                rate = await writer_rows_s(database, redis, party.writer, days_ago(now, 4), rows)
                results.add(OURS, "writer_rate", rate)
            finally:
                await redis.aclose()
                await database.close(timeout=10)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, OSError) as error:
            results.skipped["the database's part"] = f"it failed ({type(error).__name__})"


@contextmanager
def _named(subject: str, results: Results) -> Iterator[None]:
    """A subject that fails is named with the reason, and left out from then on; the others go on."""
    try:
        yield
    except (LoadError, ProcessGone, DidNotStart) as error:
        results.skipped[subject] = str(error)
