"""Partyline under Locust: its distributed workers, its statistics, its web page, with our own honest client.

    locust -f load_tests/locustfile.py --host http://localhost:8080

The users of one worker process make up parties among themselves: the first makes the session over HTTP and is
its host, the next ones join, and each follows a member of the modelled crowd (`follower`). So both ends of a
delivery are in one process, by one clock. When a party is over its users begin in another one. Locust patches
the standard library for gevent before it reads this file.
"""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import msgspec
from locust import HttpUser, between, events, task
from locust.env import Environment

from load_tests.cannot_start import CannotStart
from load_tests.crowd.model import MAX_MEMBERS, Crowd, Member, Party
from load_tests.follower import Follower, Sendings
from load_tests.party_http import Party as Made
from load_tests.party_http import base_url, stream_url

MADE_S = 30.0
"""How long the others wait for their host's session."""
PARTIES = 2_000
"""Of a worker's crowd; after the last one the first comes again."""
CREATED = 201
EXIT_CANNOT_START = 2


@dataclass(eq=False)
class SharedParty:
    """A party of the model that users of this process fill."""

    model: Party
    made: Future[Made | None] = field(default_factory=Future)
    """What the server answered to the host; `None` when there is no session."""
    sendings: Sendings = field(default_factory=Sendings)


class Muster:
    """Gives each user of this process a place in a party, the host's first."""

    def __init__(self, model: Crowd) -> None:
        self._model = model
        self._parties = 0
        self._free: deque[tuple[SharedParty, Member]] = deque()

    def place(self) -> tuple[SharedParty, Member]:
        if not self._free:
            party = SharedParty(self._model.party(self._parties % len(self._model)))
            self._parties += 1
            self._free.extend((party, member) for member in party.model)
        return self._free.popleft()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: ArgumentParser) -> None:
    """What a party is like; the master hands it on to its workers."""
    group = parser.add_argument_group("Partyline")
    group.add_argument("--party-size", type=int, default=5, help="members of a party (5)")
    group.add_argument("--fix-rate", type=float, default=1.0, help="fixes a second of each member (1)")
    group.add_argument("--party-minutes", type=float, default=10.0, help="how long a party lasts (10)")
    group.add_argument("--party-seed", type=int, default=1, help="the same seed, the same crowd (1)")


def crowd_of(environment: Environment) -> Crowd:
    """The crowd of this process: another one in each worker. Raises `CannotStart`."""
    options: Any = environment.parsed_options
    base_url(environment.host or "")
    try:
        return Crowd(
            seed=1_000_000 * options.party_seed + getattr(environment.runner, "worker_index", 0),
            members=min(MAX_MEMBERS, max(1, PARTIES * options.party_size)),
            party_size=options.party_size,
            rate=options.fix_rate,
            minutes=options.party_minutes,
        )
    except ValueError as error:
        raise CannotStart(f"{error} (--party-size, --fix-rate, --party-minutes).") from None


@events.init.add_listener  # type: ignore[untyped-decorator]
def check(environment: Environment, **_: object) -> None:
    """Without the web page, where it could still be mended: the end before anything began."""
    options: Any = environment.parsed_options
    if options.headless and not options.worker:
        try:
            crowd_of(environment)
        except CannotStart as error:
            print(_sentence(error), file=sys.stderr)  # noqa: T201 - Locust's own log is not set up yet
            raise SystemExit(EXIT_CANNOT_START) from None


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: object) -> None:
    """In the master and in each worker."""
    try:
        Traveller.muster = Muster(crowd_of(environment))
    except CannotStart as error:
        logging.getLogger("locust").error(_sentence(error))
        environment.process_exit_code = EXIT_CANNOT_START
        if environment.runner is not None:
            environment.runner.quit()


def _sentence(error: CannotStart) -> str:
    return f"partyline: {error}".replace("--url", "--host")


class Traveller(HttpUser):
    """A phone: it goes from party to party."""

    muster: Muster
    wait_time = between(1, 5)

    @task
    def travel(self) -> None:
        """One party, from joining to leaving."""
        party, member = self.muster.place()
        hosts = member.number == 0
        if hosts:
            party.made.set_result(self.make(party.model))
        try:
            made = party.made.result(MADE_S)
        except TimeoutError:
            made = None
        if made is None:  # the host has told why
            return
        follower = Follower(
            member,
            url=stream_url(base_url(self.host or "")),
            sharable_token=made.sharable_token,
            member_token=made.host.member_token if hosts else "",
            sendings=party.sendings,
            tell=self.tell,
        )
        try:
            follower.follow()
        finally:  # also when Locust stops the user
            follower.hang_up()

    def make(self, party: Party) -> Made | None:
        """A session for the party; `None`, and a failure in the statistics, where there is none."""
        body = {
            "display_name": "Host",
            "precision": party.crowd.traits.precision.value,
            "options": {"max_members": max(50, len(party))},
        }
        with self.client.post("/v1/sessions", json=body, catch_response=True) as answer:
            if answer.status_code == 0:
                answer.failure("No server answers; start one with `partyline up`, or mend --host.")
            elif answer.status_code != CREATED:
                answer.failure(f"The server refuses to make a session (HTTP {answer.status_code}).")
            else:
                try:
                    made = msgspec.json.decode(answer.content, type=Made)
                except msgspec.MsgspecError:
                    answer.failure("What answers there is not Partyline; mend --host.")
                else:
                    answer.success()
                    return made
        return None

    def tell(self, name: str, took_s: float, error: str | None = None) -> None:
        """A line of Locust's statistics."""
        self.environment.events.request.fire(
            request_type="WS",
            name=name,
            response_time=1000 * took_s,
            response_length=0,
            exception=error,
            context={},
        )
