"""Who tells of a change waits for whoever could still send what it takes away, and for nobody else (G3).

Time is the loop's own, which jumps to whatever is due next: seconds of waiting take none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.announcer import AGAIN_MS, CONFIRM_MS, Announcer, Unconfirmed
from server.control_entry import Changed, Entry, Place, Tightened
from server.control_store import Standing
from server.lease import LEASE_MS

ME = "me"
LONG = 1_000_000
ENTRY = Tightened(1)


class Away(Exception):
    """The store does not answer."""


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while something runs, and jumps while all wait."""

    def __init__(self) -> None:
        super().__init__()
        self._at_s = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None = None) -> Any:
            if timeout:
                self._at_s += timeout
            return select(0)

        self._selector.select = jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._at_s


class Board:
    """What a store says: set by a test, and by what is planned for a moment."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.age_ms = LONG
        self.places: dict[str, Place] = {}
        self.told: list[Entry] = []
        self.away = False
        self.asked = 0

    def at(self, ms: int, what: Callable[[], None]) -> None:
        self._loop.call_later(ms / 1000, what)

    async def announce(self, entry: Entry) -> Place:
        if self.away:
            raise Away
        self.told.append(entry)
        return (len(self.told), 0)

    async def standing(self) -> Standing:
        self.asked += 1
        if self.away:
            raise Away
        return Standing(self.age_ms, dict(self.places))


class Scene:
    """An announcer, the board it looks at, and a clock."""

    def __init__(self) -> None:
        self.loop = Jumping()
        self.board = Board(self.loop)
        self.announcer = Announcer(self.board, ME, now_ms=self.ms, away=(Away,))

    def ms(self) -> int:
        return round(self.loop.time() * 1000)

    def confirmed_after(self) -> int:
        """How long `confirm` takes (ms). Raises what it raises."""
        began = self.ms()
        self.loop.run_until_complete(self.announcer.confirm(ENTRY))
        return self.ms() - began


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.loop.close()


def test_alone_it_waits_for_nobody(scene: Scene) -> None:
    assert scene.confirmed_after() == 0
    assert scene.board.told == [ENTRY]


def test_it_does_not_wait_for_itself(scene: Scene) -> None:
    scene.board.places = {ME: (0, 0)}
    assert scene.confirmed_after() == 0


def test_it_does_not_wait_for_who_is_there_already_or_further(scene: Scene) -> None:
    scene.board.places = {"a": (1, 0), "b": (7, 3)}
    assert scene.confirmed_after() == 0


def test_it_waits_for_who_has_a_lease_and_is_behind(scene: Scene) -> None:
    scene.board.places = {"a": (0, 99), "b": (1, 0)}
    scene.board.at(700, lambda: scene.board.places.update(a=(1, 0)))
    assert 700 <= scene.confirmed_after() < 800
    assert scene.board.told == [ENTRY]


def test_it_waits_for_the_last_of_many(scene: Scene) -> None:
    scene.board.places = {f"{number}": (0, 0) for number in range(5)}
    for number in range(5):
        scene.board.at(100 * number, lambda name=f"{number}": scene.board.places.update({name: (1, 0)}))  # type: ignore[misc]
    assert 400 <= scene.confirmed_after() < 500


def test_it_does_not_wait_for_who_lost_the_lease(scene: Scene) -> None:
    scene.board.places = {"dead": (0, 0)}
    scene.board.at(LEASE_MS, scene.board.places.clear)
    assert LEASE_MS <= scene.confirmed_after() < LEASE_MS + 100
    assert scene.board.told == [ENTRY]


def test_it_waits_for_who_came_meanwhile_and_is_behind(scene: Scene) -> None:
    board = scene.board
    board.places = {"a": (0, 0)}
    board.at(300, lambda: board.places.update(b=(0, 0)))
    board.at(600, lambda: board.places.update(a=(1, 0)))
    board.at(900, lambda: board.places.update(b=(1, 0)))
    assert 900 <= scene.confirmed_after() < 1_000


@pytest.mark.parametrize("age_ms", [-1, 0, LEASE_MS - 1])
def test_a_new_server_may_not_know_who_has_a_lease(scene: Scene, age_ms: int) -> None:
    scene.board.age_ms = age_ms
    scene.board.at(1_500, lambda: setattr(scene.board, "age_ms", LEASE_MS))
    assert 1_500 <= scene.confirmed_after() < 1_600


def test_what_redis_lost_is_told_again(scene: Scene) -> None:
    """The stream is empty again, and nobody can ever come to where the entry was."""
    board = scene.board
    board.places = {"a": (0, 0)}

    def apply_the_second() -> None:
        board.places["a"] = (len(board.told), 0) if len(board.told) > 1 else (0, 0)
        board.at(100, apply_the_second)

    apply_the_second()
    assert AGAIN_MS <= scene.confirmed_after() < AGAIN_MS + 300
    assert board.told == [ENTRY, ENTRY]


def test_redis_that_is_away_for_a_while_is_asked_again(scene: Scene) -> None:
    scene.board.away = True
    scene.board.at(2_000, lambda: setattr(scene.board, "away", False))
    assert 2_000 <= scene.confirmed_after() < 2_200
    assert scene.board.told == [ENTRY]


def test_redis_that_goes_away_after_it_was_told_is_told_again(scene: Scene) -> None:
    board = scene.board
    board.places = {"a": (0, 0)}
    board.at(200, lambda: setattr(board, "away", True))
    board.at(400, lambda: (setattr(board, "away", False), board.places.update(a=(9, 0)))[0])
    assert 400 <= scene.confirmed_after() < 600
    assert len(board.told) == 2


@pytest.mark.parametrize("why", ["away", "behind", "new"])
def test_what_never_comes_is_said(scene: Scene, why: str) -> None:
    board, began = scene.board, scene.ms()
    match why:
        case "away":
            board.away = True
        case "behind":
            board.places = {"a": (0, 0)}
        case _:
            board.age_ms = 0
    with pytest.raises(Unconfirmed, match="not every gateway"):
        scene.confirmed_after()
    assert CONFIRM_MS <= scene.ms() - began <= CONFIRM_MS + 100
    assert board.asked < CONFIRM_MS / 40  # it looks slowly


def test_an_answer_that_never_comes_is_no_confirmation(scene: Scene) -> None:
    async def nothing() -> Any:
        await asyncio.Event().wait()

    scene.board.standing = nothing  # type: ignore[method-assign]
    with pytest.raises(Unconfirmed):
        scene.confirmed_after()


def test_other_mistakes_are_not_hidden(scene: Scene) -> None:
    async def broken() -> Any:
        raise ZeroDivisionError

    scene.board.standing = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        scene.confirmed_after()


def test_who_is_cancelled_waits_no_more(scene: Scene) -> None:
    scene.board.places = {"a": (0, 0)}

    async def given_up() -> None:
        task = asyncio.ensure_future(scene.announcer.confirm(ENTRY))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    scene.loop.run_until_complete(given_up())
    assert scene.board.told == [ENTRY]


@pytest.mark.parametrize("away", [False, True])
def test_what_takes_nothing_away_is_told_once(scene: Scene, away: bool) -> None:
    scene.board.away = away
    scene.board.places = {"a": (0, 0)}
    began = scene.ms()
    scene.loop.run_until_complete(scene.announcer.tell(Changed(1)))
    assert scene.board.told == ([] if away else [Changed(1)])
    assert (scene.board.asked, scene.ms()) == (0, began)
