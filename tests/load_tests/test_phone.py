"""A phone comes back, sends again what was not acked, and stops when it is told. Against a scripted peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from load_tests.phone import Phone
from load_tests.place import Place
from protocol import messages as wire
from protocol.client import ClientSession
from protocol.client_events import Acked, Event
from protocol.codec import CODECS, JSON, MSGPACK, Codec, decode_client
from protocol.precision import Precision

AT = 1_700_000_000_000
WAIT_S = 10.0

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection, as a script sees it."""

    def __init__(self, socket: ServerConnection, codec: Codec) -> None:
        self.socket, self.codec = socket, codec

    async def next(self) -> wire.ClientMessage:
        return decode_client(self.codec, await self.socket.recv(decode=False))

    async def say(self, message: wire.ServerMessage) -> None:
        await self.socket.send(self.codec.encode(message), text=self.codec.text)

    async def welcome(self) -> wire.ClientMessage:
        first = await self.next()
        await self.say(
            wire.Welcome(
                1,
                2,
                wire.Role.MEMBER,
                "member-secret",
                Precision.EXACT,
                Precision.EXACT,
                1,
                1000,
                5000,
                AT,
                [],
                [],
            )
        )
        return first

    async def fixes(self, count: int) -> list[int]:
        seqs: list[int] = []
        while len(seqs) < count:
            message = await self.next()
            if isinstance(message, wire.Fix):
                seqs.append(message.seq)
            elif isinstance(message, wire.Fixes):
                seqs += [item.seq for item in message.items]
        return seqs

    def cut(self) -> None:
        """As when the network goes: no close frame."""
        self.socket.transport.abort()


@asynccontextmanager
async def peers(*scripts: Script, codec: Codec = JSON) -> AsyncIterator[tuple[str, asyncio.Queue[object]]]:
    """A server whose first connection runs the first script, and so on; yields its address and errors."""
    left, wrong = list(scripts), asyncio.Queue[object]()

    async def handle(socket: ServerConnection) -> None:
        assert "token" not in (socket.request.path if socket.request else "")
        try:
            await left.pop(0)(Peer(socket, CODECS[str(socket.subprotocol)]))
        except ConnectionClosed:
            return
        except BaseException as error:
            wrong.put_nowait(error)
            raise

    names = [Subprotocol(codec.subprotocol)]
    async with serve(handle, "127.0.0.1", 0, subprotocols=names, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/v1/stream", wrong
        assert wrong.empty(), wrong.get_nowait()


@asynccontextmanager
async def phone_at(
    url: str, codec: Codec = JSON, seen: Callable[[Event], None] = lambda _: None, batch: int = 1
) -> AsyncIterator[Phone]:
    session = ClientSession(codec, name="Ada", token="sharable-secret")
    phone = Phone(session, codec, url, batch=batch, jitter=lambda: 0.0, seen=seen)
    phone.start()
    try:
        async with asyncio.timeout(WAIT_S):
            yield phone
    finally:
        await phone.stop()


async def stay(peer: Peer) -> None:
    await peer.socket.wait_closed()


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_what_was_not_acked_before_a_cut_is_sent_again_to_the_next_connection(codec: Codec) -> None:
    seen: list[Event] = []

    async def first(peer: Peer) -> None:
        assert isinstance(await peer.welcome(), wire.Join)
        assert await peer.fixes(3) == [1, 2, 3]
        await peer.say(wire.Ack(1))
        await asyncio.sleep(0.05)  # lets the ack arrive: a reset throws away what is under way
        peer.cut()

    async def second(peer: Peer) -> None:
        message = await peer.welcome()
        assert isinstance(message, wire.Resume)
        assert message.token == "member-secret"
        assert await peer.fixes(2) == [2, 3]
        await peer.say(wire.Ack(3))
        await stay(peer)

    async with peers(first, second, codec=codec) as (url, _), phone_at(url, codec, seen.append) as phone:
        await phone.joined()
        for step in range(3):
            phone.offer(AT + step, 37.5, 127.0)
        await phone.room(1)
        assert phone.connections == 2
        assert phone.session.account.acked == 3
        assert phone.session.account.sent_again == 2
    assert [at for event in seen if isinstance(event, Acked) for at in event.times] == [AT, AT + 1, AT + 2]


async def test_when_a_hold_ends_the_phone_sends_again_what_it_holds() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.say(wire.Policy(1000, True))
        assert await peer.fixes(2) == [1, 2]
        await peer.say(wire.Policy(1000, False))
        assert await peer.fixes(2) == [1, 2]
        await peer.say(wire.Ack(2))
        await stay(peer)

    async with peers(script) as (url, _), phone_at(url) as phone:
        await phone.joined()
        phone.offer(AT, 1.0, 2.0)
        phone.offer(AT, 1.0, 2.0)
        await phone.room(1)
        assert phone.session.account.acked == 2


async def test_new_fixes_go_in_messages_of_the_callers_size() -> None:
    sizes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await asyncio.sleep(0.05)
        while sum(sizes) < 10:
            message = await peer.next()
            sizes.append(len(message.items) if isinstance(message, wire.Fixes) else 1)
        await peer.say(wire.Ack(10))
        await stay(peer)

    async with peers(script) as (url, _), phone_at(url, batch=4) as phone:
        await phone.joined()
        for _ in range(10):
            phone.offer(AT, 1.0, 2.0)
        await phone.room(1)
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("code", [4501, 4503, 4504, 1000])
async def test_a_phone_that_may_not_come_again_gives_up_and_says_why(code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.next()
        await peer.socket.close(code)

    async with peers(script) as (url, _), phone_at(url) as phone:
        await phone.joined()
        await phone.room(1)
        assert phone.gave_up == code


async def test_a_server_that_breaks_the_protocol_is_left_for_good() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.socket.send('{"t":"nonsense"}')
        await peer.socket.wait_closed()
        assert peer.socket.close_code == 1002

    async with peers(script) as (url, _), phone_at(url) as phone:
        phone.offer(AT, 1.0, 2.0)
        await phone.room(1)
        assert phone.gave_up == 1002
        assert phone.session.account.held == 1


async def test_a_server_of_another_subprotocol_is_left_for_good() -> None:
    async with peers(stay, codec=MSGPACK) as (url, _), phone_at(url, JSON) as phone:
        await phone.joined()
        assert phone.gave_up == 1002


async def test_a_server_that_is_not_there_yet_is_tried_again() -> None:
    async with peers(stay) as (url, _):
        pass  # now nobody listens there
    async with phone_at(url) as phone:
        phone.offer(AT, 1.0, 2.0)
        await asyncio.sleep(0.1)
        assert phone.gave_up is None
        assert phone.session.account.held == 1


async def test_a_phone_stops_twice_before_it_started_and_while_it_connects() -> None:
    session = ClientSession(JSON, name="Ada", token="t")
    phone = Phone(session, JSON, "ws://127.0.0.1:9/v1/stream", jitter=lambda: 1.0)
    await phone.stop()
    phone.start()
    phone.start()
    await phone.stop()
    await phone.stop()


async def test_a_stopped_phone_says_goodbye() -> None:
    code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.socket.wait_closed()
        code.set_result(peer.socket.close_code)

    async with peers(script) as (url, _):
        async with phone_at(url) as phone:
            await phone.joined()
        assert await asyncio.wait_for(code, WAIT_S) == 1000


async def test_a_phone_whose_gateway_is_gone_or_refuses_goes_to_the_next() -> None:
    visits: list[str] = []

    async def stays_a_while(peer: Peer) -> None:
        visits.append("stays a while")
        assert isinstance(await peer.welcome(), wire.Join)
        await peer.socket.close(4000)

    async def takes_over(peer: Peer) -> None:
        visits.append("takes over")
        assert isinstance(await peer.welcome(), wire.Resume)
        assert await peer.fixes(1) == [1]
        await peer.say(wire.Ack(1))
        await peer.socket.wait_closed()

    async with peers(stays_a_while) as (first, _), peers(takes_over) as (second, _):
        places = Place.each([second, "ws://127.0.0.1:9/v1/stream", first], 1)  # nobody is at the first
        session = ClientSession(JSON, name="Ada", token="sharable-secret")
        phone = Phone(session, JSON, places, jitter=lambda: 0.0)
        phone.start()
        async with asyncio.timeout(WAIT_S):
            await phone.joined()
            phone.offer(AT, 1.0, 2.0)
            await phone.room(1)
        await phone.stop()
    assert visits == ["stays a while", "takes over"]
    assert session.account.acked == 1
