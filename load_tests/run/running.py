"""A whole run, in the parent: workers started, the servers sampled every second, all put into one `Run`."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from load_tests.audit.adding import add
from load_tests.report.sampling import Sampler
from load_tests.run.company import Company
from load_tests.run.counting import add_accounts, add_counts, summed, together
from load_tests.run.histogram import quantile
from load_tests.run.lines import Plan, Second
from load_tests.run.notes import Account, Audited, Ended, Run, ServerSample, Tally, Tightenings
from load_tests.run.objectives import judged
from load_tests.stopping import Stopped, unless

HEADSTART_MS = 300
"""From saying go to the crowd's time 0: enough for every worker to hear it."""
BUSY, LATE_MS = 0.9, 250.0
"""A load process with more of a core, or later than this, measures itself."""
BUSY_SECONDS, BUSY_SHARE = 3, 0.05
"""From so many such seconds on, and such a share of them, the run says so."""


class Running:
    """One run. `watch` is called every second."""

    def __init__(self, plan: Plan, name: str, redis_url: str, watch: Callable[[Running], None]) -> None:
        """`plan` is that of worker 0; the others get the same but for their number."""
        self.plan, self._name, self._redis_url, self._watch = plan, name, redis_url, watch
        plans = [msgspec.structs.replace(plan, worker=number) for number in range(plan.workers)]
        self._company = Company(plans)
        self._samples: list[ServerSample] = []
        self._started_at_s = time.time()
        self._started_s = time.monotonic()
        self.playing_since_s: float | None = None
        """By the monotonic clock."""

    @property
    def seconds(self) -> list[list[Second]]:
        """What each worker has told so far."""
        return self._company.seconds

    async def run(self, stop: asyncio.Event) -> Run:
        """Until the crowd's time is over or `stop` is set. Raises `CannotStart` and `WorkerFailed`."""
        outcome = "done"
        async with self._company as company:
            looking = asyncio.create_task(self._look())
            try:
                try:
                    await unless(stop, company.ready())
                    self.playing_since_s = time.monotonic() + HEADSTART_MS / 1000
                    company.go(time.time_ns() // 1_000_000 + HEADSTART_MS)
                    await unless(stop, company.done())
                except Stopped:
                    outcome = "stopped"
                    company.stop()
                    await company.done()
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
            self._watch(self)
        return self._result(outcome)

    async def _look(self) -> None:
        plan = self.plan
        sampler = Sampler(plan.bases, plan.database_url, self._redis_url)
        try:
            while True:
                await asyncio.sleep(1 - time.time() % 1)
                sample = await sampler.sample()
                sample.figures["load_cpu_s"] = sum(one.cpu_s for told in self.seconds for one in told)
                self._samples.append(sample)
                self._watch(self)
        finally:
            await sampler.close()

    def _result(self, outcome: str) -> Run:
        plan, ended = self.plan, put_together(list(self._company.ended.values()))
        tallies = together([[one.tally for one in told] for told in self.seconds])
        played = together([[one.tally for one in told if one.phase == "playing"] for told in self.seconds])
        return Run(
            scenario=self._name,
            url=plan.bases[0],
            other_urls=plan.bases[1:],
            seed=plan.seed,
            members=plan.members,
            party_size=plan.party_size,
            rate=plan.rate,
            minutes=plan.minutes,
            workers=plan.workers,
            machine=f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
            started_at_s=self._started_at_s,
            seconds=time.monotonic() - self._started_s,
            outcome=outcome,
            tallies=tallies,
            samples=self._samples,
            account=ended.account,
            audited=ended.audited,
            gave_up=ended.gave_up,
            objectives=judged(
                plan.scenario.objectives, tallies, played, ended.account, ended.audited, audit=plan.audit
            ),
            tightenings=tightenings(tallies, ended.audited),
            tracks=[Path(name).name for name in plan.tracks],
            remarks=overloaded(self.seconds),
        )


def tightenings(tallies: list[Tally], audited: Audited) -> Tightenings:
    """What became of the hosts' tightenings. Pure."""
    total = summed(tallies)
    p50, p99, longest = (quantile(total.tighten_ms, share) for share in (0.5, 0.99, 1.0))
    return Tightenings(total.tightenings, total.tightenings_returned, p50, p99, longest, audited.finer)


def put_together(words: list[Ended]) -> Ended:
    """The last words of all workers as one."""
    total = Ended(Account(), Audited())
    for one in words:
        add_accounts(total.account, one.account)
        add(total.audited, one.audited)
        add_counts(total.gave_up, one.gave_up)
    return total


def overloaded(workers: list[list[Second]]) -> list[str]:
    """A sentence for each load process that fell behind while the crowd played. Pure."""
    said = []
    for number, told in enumerate(workers, 1):
        played = [one for one in told if one.phase == "playing"]
        busy = [one for one in played if one.cpu_s >= BUSY or one.lag_ms >= LATE_MS]
        if len(busy) >= max(BUSY_SECONDS, BUSY_SHARE * len(played)):
            said.append(
                f"Load process {number} fell behind in {len(busy)} of {len(played)} seconds (up to"
                f" {max(one.cpu_s for one in busy):.0%} of a core, events up to"
                f" {max(one.lag_ms for one in busy):.0f} ms late): these figures are the load's as much as"
                " the server's. Give more --workers, fewer --members, or the load a machine of its own."
            )
    return said
