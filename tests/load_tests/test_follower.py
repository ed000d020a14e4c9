"""A follower lives its member's life on a real server, in threads as under Locust's greenlets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from load_tests.crowd.events import Kill, Send
from load_tests.crowd.model import Crowd, Member
from load_tests.crowd.traits import Traits
from load_tests.follower import REMEMBERED, Follower, Sendings
from protocol.client_table import State
from server.up import Up
from tests.e2e.conftest import http, new_session, rows, up

__all__ = ["up"]
QUIET = {
    "tunnels_per_hour": 0.0,
    "sleeps_per_hour": 0.0,
    "kills_per_hour": 0.0,
    "late_joiner_share": 0.0,
    "leaver_share": 0.0,
    "ended_share": 0.0,
    "host_changes_per_hour": 0.0,
}


@dataclass
class Heard:
    """What followers told."""

    times: dict[str, list[float]] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, name: str, took_s: float, error: str | None = None) -> None:
        if error is not None:
            self.errors.append((name, error))
        else:
            self.times.setdefault(name, []).append(took_s)

    def counts(self) -> Counter[str]:
        return Counter({name: len(times) for name, times in self.times.items()})


def crowd(seed: int = 1, members: int = 3, seconds: float = 5.0, rate: float = 4.0, **traits: Any) -> Crowd:
    return Crowd(seed, members, members, rate, seconds / 60, traits=Traits(**(QUIET | traits)))


def sends(member: Member) -> int:
    return sum(isinstance(event, Send) for event in member)


def stream(up: Up) -> str:
    return up.http.replace("http", "ws", 1) + "/v1/stream"


def follow(up: Up, made: Crowd, heard: Heard) -> tuple[dict[str, Any], list[Follower]]:
    """A party's whole life; the session and the followers."""
    session = new_session(up)
    sendings = Sendings()
    followers = [
        Follower(
            member,
            url=stream(up),
            sharable_token=session["sharable_token"],
            member_token="" if member.number else session["host"]["member_token"],
            sendings=sendings,
            tell=heard.tell,
            jitter=lambda: 0.0,
        )
        for member in made.party(0)
    ]
    threads = [threading.Thread(target=one.follow) for one in followers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for one in followers:
        one.hang_up()
        one.hang_up()
    return session, followers


async def test_a_party_is_joined_sent_seen_acked_and_stored(up: Up) -> None:
    made, heard = crowd(), Heard()
    session, followers = follow(up, made, heard)
    fixes = [sends(member) for member in made.party(0)]
    assert heard.errors == []
    assert heard.counts()["join"] == 3
    assert [one.session.account.offered for one in followers] == fixes
    assert [one.session.account.acked for one in followers] == fixes
    assert heard.counts()["ack"] == sum(fixes)
    assert heard.counts()["delivery"] > sum(fixes) / 4  # ticks: the newest of each, to two others
    assert all(took >= 0 for times in heard.times.values() for took in times)
    windows = {(row["user_id"], row["start_ms"]) for row in await rows(up, session["session"])}
    assert len({user for user, _ in windows}) == 3


@pytest.mark.slow
def test_killed_phones_come_back_with_what_they_held(up: Up) -> None:
    traits = {"kills_per_hour": 1500.0, "killed_s": (0.3, 0.6)}
    made, heard = crowd(seed=5, members=2, seconds=8, **traits), Heard()
    kills = sum(isinstance(event, Kill) for member in made.party(0) for event in member)
    _, followers = follow(up, made, heard)
    assert kills >= 2
    assert heard.errors == []  # what the phone itself does is no failure
    assert heard.counts()["join"] > 2
    for one in followers:
        assert one.session.account.adds_up
        assert one.session.account.held == 0
        assert one.session.account.acked == one.session.account.offered > 0


@pytest.mark.slow
def test_a_host_who_tightens_is_obeyed(up: Up) -> None:
    made, heard = (
        crowd(seed=3, members=2, seconds=6, host_changes_per_hour=3000.0, consent_share=0.0),
        Heard(),
    )
    assert list(made.party(0).host_events())
    session, _ = follow(up, made, heard)
    token = session["host"]["member_token"]
    _, after = http(up, "GET", f"/v1/sessions/{session['session']}", token=token)
    assert after["revision"] > session["revision"]
    assert heard.errors == []


def test_a_host_who_ends_the_party_sends_everybody_home(up: Up) -> None:
    made, heard = crowd(seed=2, members=3, seconds=5, ended_share=1.0), Heard()
    _, followers = follow(up, made, heard)
    assert heard.errors == []
    assert {one.session.state for one in followers} == {State.OVER}


def test_a_wrong_token_is_one_failure_and_the_end(up: Up) -> None:
    heard = Heard()
    (member,) = crowd(members=1, seconds=30).party(0)
    Follower(
        member, url=stream(up), sharable_token="wrong-secret", sendings=Sendings(), tell=heard.tell
    ).follow()
    assert heard.errors == [("join", "The server closed the connection (4501 bad_token); see its log.")]


def test_a_dead_address_is_tried_with_backoff_and_each_try_is_one_sentence() -> None:
    heard = Heard()
    (member,) = crowd(members=1, seconds=3).party(0)
    follower = Follower(
        member,
        url="ws://127.0.0.1:9/v1/stream",
        sharable_token="secret",
        sendings=Sendings(),
        tell=heard.tell,
        jitter=lambda: 0.5,
    )
    threading.Timer(4, lambda: setattr(follower, "_over", True)).start()
    follower.follow()
    assert 1 <= len(heard.errors) <= 8
    assert {name for name, _ in heard.errors} == {"join"}
    (text,) = {text for _, text in heard.errors}
    assert "nothing answers" in text
    assert "secret" not in text
    assert follower.session.account.held == follower.session.account.offered > 0


@contextmanager
def peer(answer: bytes) -> Iterator[str]:
    """Another server: it speaks the subprotocol and answers the first frame with these bytes."""

    def talk(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(answer.decode())
        for _ in connection:
            pass

    def choose(connection: ServerConnection, offered: Any) -> Any:
        return offered[0]

    with serve(talk, "127.0.0.1", 0, select_subprotocol=choose) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1/stream"


@pytest.mark.parametrize("answer", [b"nonsense", b'{"t":"ack","seq":99}', b'{"t":"nobody"}'])
def test_a_peer_that_breaks_the_protocol_is_a_failure_and_the_end(answer: bytes) -> None:
    heard = Heard()
    (member,) = crowd(members=1, seconds=30).party(0)
    with peer(answer) as url:
        follower = Follower(member, url=url, sharable_token="x", sendings=Sendings(), tell=heard.tell)
        follower.follow()
        follower.hang_up()
    assert len(heard.errors) == 1
    assert "1002" in heard.errors[0][1]


def test_sendings_are_bounded_and_the_newest_are_kept() -> None:
    sendings = Sendings()
    for at in range(REMEMBERED + 10):
        sendings.add(1, at, float(at))
    assert sendings.when(1, 9) is None
    assert sendings.when(1, 10) == 10.0
    assert sendings.when(1, REMEMBERED + 9) == REMEMBERED + 9
    assert sendings.when(2, 10) is None


def test_hanging_up_before_it_began_is_allowed() -> None:
    (member,) = crowd(members=1).party(0)
    Follower(member, url="ws://x", sharable_token="x", sendings=Sendings(), tell=Heard().tell).hang_up()
