"""One round of one peer: opened, its memory seen, flooded, paced, counted. The same for every peer."""

from __future__ import annotations

from load_tests.bench.load import PARTY, Outcome
from load_tests.bench.load_process import LoadProcess
from load_tests.bench.plan import Plan
from load_tests.bench.proc import cpu_ns, memory_kib
from load_tests.bench.results import Loss, Results
from load_tests.bench.running import Running
from load_tests.bench.servers import Subject

SETTLE_S = 5.0
RATE_S = 1.0


def note_losses(results: Results, subject: str, measure: str, outcome: Outcome) -> None:
    """Everything that the account finds missing."""
    if outcome.missing:
        text = f"{outcome.missing:,} of {outcome.missing + outcome.delivered:,} deliveries did not come"
        results.losses.append(Loss(subject, measure, text))
    if outcome.stale:
        text = f"{outcome.stale} connections did not see everybody's last position"
        results.losses.append(Loss(subject, measure, text))
    if outcome.unacked:
        results.losses.append(Loss(subject, measure, f"{outcome.unacked} connections were not acked"))


def measure_peer(subject: Subject, running: Running, plan: Plan, results: Results) -> None:
    """Adds this round's readings. Raises `LoadError` and `ProcessGone`."""
    ways = [way for way, can in (("relay", subject.relays), ("tick", subject.ticks)) if can]
    for way in ways:
        with LoadProcess(subject.dialect, running.port, ticks=way == "tick") as load:
            load.do("open", 1)  # what is set up by the first ones is not theirs
            pids = subject.counted(running)
            before = memory_kib(pids)
            now = load.do("open", plan.connections // PARTY)
            if way == ways[0]:
                results.add(subject.name, "idle_memory", (memory_kib(pids) - before) / (now - PARTY))
            for measure, command in (
                (f"flooded_{way}", ("flood", plan.flood_s)),
                (f"paced_{way}", ("pace", RATE_S, plan.paced_s)),
            ):
                begun = cpu_ns(pids)
                sent = load.do(*command)
                results.add(subject.name, measure, (cpu_ns(pids) - begun) / sent / 1000)
                note_losses(results, subject.name, measure, load.do("settle", SETTLE_S))
