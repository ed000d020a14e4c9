"""A crowd over a fleet, as a process, until it is told to end; and what its account must say."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from load_tests.run.notes import Run
from tests.chaos.fleet import Fleet

ENDS_WITHIN_S = 150.0

RESTLESS = """
[traits]
tunnels_per_hour = 40
tunnel_s = [1, 6]
sleeps_per_hour = 20
sleep_s = [1, 6]
kills_per_hour = 40
killed_s = [1, 4]
host_changes_per_hour = 120
late_joiner_share = 0.05
leaver_share = 0.02
ended_share = 0.05
clock_off_share = 0.03

[session]
tick_ms = 500
"""
"""A scenario in which much happens within minutes; some phones' clocks are off by hours."""


class Crowd:
    """`partyline crowd` on all gateways of the fleet. A context: it is gone at its end."""

    def __init__(
        self, fleet: Fleet, *, members: int, seed: int, minutes: float = 60, scenario: str = RESTLESS
    ) -> None:
        self._fleet = fleet
        self._report = fleet.folder / "run.json"
        file = fleet.folder / "scenario.toml"
        file.write_text(scenario)
        command = [sys.executable, "-m", "server.cli", "crowd", "--database-url", fleet.database_url]
        for url in fleet.urls:
            command += ["--url", url]
        command += ["--members", str(members), "--minutes", str(minutes), "--seed", str(seed)]
        command += ["--scenario", str(file), "--json", str(self._report)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )
        self._said: list[str] = []
        self._playing = threading.Event()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def __enter__(self) -> Crowd:
        while not self._playing.wait(0.1):
            assert self._process.poll() is None, self.said
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._listening.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._said.append(line)
            if line.startswith("playing"):
                self._playing.set()

    def assert_playing(self) -> None:
        """It has not ended before its time."""
        assert self._process.poll() is None, self.said

    @property
    def said(self) -> str:
        return "".join(self._said)

    def ended(self) -> Run:
        """Asks it to end, and returns the run when all is settled, looked up and judged."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self.done()

    def done(self, within_s: float = ENDS_WITHIN_S) -> Run:
        """The run when it ends by itself."""
        self._process.wait(within_s)
        self._listening.join()
        assert self._report.exists(), self.said
        return msgspec.json.decode(Path(self._report).read_bytes(), type=Run)


def assert_clean(run: Run, said: str) -> None:
    """Every fix has its end, no acked one is missing, and no promise was broken."""
    account = run.account
    rejected = sum(account.rejected.values())
    assert run.audited.broken == {}, said
    assert run.audited.note == "", said
    assert run.audited.finer == 0, said
    assert account.offered == account.acked + rejected + account.held + account.lost, said
    assert (account.held, account.lost) == (0, 0), said
    assert account.acked > 0, said
    assert run.audited.looked_up > 0, said
    assert run.gave_up == {}, said
