"""The WebSocket under the real server and loop: what is delivered, what is refused, and with which code."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import inspect
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from protocol.limits import MAX_FRAME_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from server.frames import data_frame, frame_size
from server.handshake import PATH
from server.keepalive import PING
from server.slots import Slots
from server.upgrade import websocket_factory
from server.websocket import ODD_BOUND, WRITE_HIGH_WATER_BYTES, WebSocket

SUBPROTOCOLS = (SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON)
FRIEND = "https://friend.example"


class Echo:
    """A peer that says everything back, and does what a few words tell it."""

    def __init__(self) -> None:
        self.socket: WebSocket | None = None
        self.subprotocol: str | None = None
        self.bearer = ""
        self.messages: list[bytes] = []
        self.states: list[bool] = []
        self.drained = self.gone = 0
        self.text = True

    def opened(self, socket: WebSocket, subprotocol: str | None, bearer: str) -> bool:
        self.socket, self.subprotocol, self.bearer = socket, subprotocol, bearer
        self.text = subprotocol != SUBPROTOCOL_MSGPACK
        return self.text

    def received(self, payload: bytes) -> None:
        self.messages.append(payload)
        assert self.socket is not None
        if payload == b"pause":
            self.socket.pause_reading()
        elif payload == b"close":
            self.socket.close(4507, "replaced")
        else:
            self.socket.write(data_frame(payload, text=self.text))

    def writable(self, yes: bool) -> None:
        self.states.append(yes)

    def draining(self) -> None:
        self.drained += 1
        assert self.socket is not None
        self.socket.close(4000, "going_away")

    def lost(self) -> None:
        self.gone += 1


def slots() -> Slots:
    """The real ones, of whichever loop runs."""
    return Slots(
        now_ns=time.monotonic_ns,
        sleep=time.sleep,
        after_reads=lambda rest: asyncio.get_running_loop().call_soon(rest),
    )


class Gateway:
    """uvicorn with our class, on uvloop, in a thread."""

    def __init__(self) -> None:
        self.peers: list[Echo] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        config = uvicorn.Config(
            _no_app,
            ws=websocket_factory(  # type: ignore[arg-type]
                self._peer, slots=slots(), subprotocols=SUBPROTOCOLS, origins=frozenset({FRIEND})
            ),
            http="h11",
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=5,
        )
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        until(lambda: self.server.started)

    def _peer(self) -> Echo:
        self.peers.append(Echo())
        return self.peers[-1]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self.loop = runner.get_loop()
            runner.run(self.server.serve(sockets=[self._listener]))

    def call(self, what: Callable[[], Any]) -> Any:
        """Runs `what` on the loop and returns its answer."""
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()
        assert self.loop is not None
        self.loop.call_soon_threadsafe(lambda: answer.set_result(what()))
        return answer.result(10)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()
        self._listener.close()

    def connect(self, **more: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{PATH}", **({"open_timeout": 10, "max_size": None} | more))

    def raw(self, head: bytes | None = None, rcvbuf: int | None = None) -> socket.socket:
        """A connection after its handshake, without any library on our side."""
        sock = socket.socket()
        if rcvbuf is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(head or request())
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = sock.recv(1)
            if not got:
                break
            answer += got
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return sock

    def status(self, head: bytes) -> int:
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.sendall(head)
            return int(sock.recv(65536).split()[1])


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    yield gateway
    gateway.stop()


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 15
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come")
        time.sleep(0.005)


def request(path: str = PATH, **headers: str) -> bytes:
    """The head of a handshake; `Sec_WebSocket_Protocol="…"` adds or replaces a header, `""` takes it away."""
    made = {
        "Host": "here.example",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in made.items() if value)
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def masked(payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=True)


def read_frame(sock: socket.socket) -> tuple[int, bytes]:
    """`(opcode, payload)` of the next frame."""
    data = b""
    while True:
        needed, length = frame_size(data, 0)
        if length >= 0 and len(data) >= needed + length:
            return data[0] & 15, data[needed:]
        got = sock.recv(max(1, (needed if length < 0 else needed + length) - len(data)))
        assert got, "the server closed"
        data += got


def close_code(sock: socket.socket) -> int:
    """The code of the close frame that comes next, other frames passed over."""
    while True:
        opcode, payload = read_frame(sock)
        if opcode == Opcode.CLOSE:
            return Close.parse(payload).code


def closed_by_server(sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(65536):
            pass
    return True


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [None, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, MAX_FRAME_BYTES])
def test_a_message_of_any_length_comes_whole_and_back(
    gateway: Gateway, subprotocol: Any, length: int
) -> None:
    with gateway.connect(subprotocols=[subprotocol] if subprotocol else None) as client:
        payload: Any = b"x" * length if subprotocol == SUBPROTOCOL_MSGPACK else "x" * length
        client.send(payload)
        assert client.recv(10) == payload
        assert gateway.peers[-1].subprotocol == subprotocol


def test_dripping_bytes_make_the_same_message(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in masked(b"drip " * 30):
            sock.send(bytes((byte,)))
        assert read_frame(sock) == (Opcode.TEXT, b"drip " * 30)


def test_several_frames_in_one_read_are_several_messages(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        sock.sendall(b"".join(masked(b"%d" % n) for n in range(200)))
        assert [read_frame(sock)[1] for _ in range(200)] == [b"%d" % n for n in range(200)]


def test_a_header_may_come_without_its_payload(gateway: Gateway) -> None:
    frame = masked(b"y" * 300)
    with gateway.raw() as sock:
        for cut in (1, 2, 3, 4, 7, 8, 9):
            sock.sendall(frame[:cut])
            time.sleep(0.01)
            sock.sendall(frame[cut:])
            assert read_frame(sock)[1] == b"y" * 300


def test_fragments_make_one_message_with_control_frames_in_between(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        sock.sendall(masked(b"one ", fin=False) + masked(b"two ", Opcode.CONT, fin=False))
        sock.sendall(masked(b"alive?", Opcode.PING) + masked(b"three", Opcode.CONT) + masked(b"next"))
        assert read_frame(sock) == (Opcode.PONG, b"alive?")
        assert read_frame(sock) == (Opcode.TEXT, b"one two three")
        assert read_frame(sock) == (Opcode.TEXT, b"next")


def test_the_server_asks_for_a_sign_of_life_and_hears_it(gateway: Gateway) -> None:
    with gateway.connect() as client:
        until(lambda: gateway.peers[-1].socket)
        ours = gateway.peers[-1].socket
        gateway.call(lambda: setattr(ours, "heard", False))
        gateway.call(lambda: ours.write(PING))
        with pytest.raises(TimeoutError):
            client.recv(0.2)  # the library answers the ping meanwhile
        until(lambda: ours.heard)


# --- closing -------------------------------------------------------------------------------------


def test_the_client_closes(gateway: Gateway) -> None:
    with gateway.connect() as client:
        peer = gateway.peers[-1]
        client.close(1000, "bye")
        assert client.close_code == 1000
    until(lambda: peer.gone)
    until(lambda: peer.socket not in gateway.server.server_state.connections)
    assert peer.gone == 1


def test_the_server_closes_with_a_code_and_a_reason(gateway: Gateway) -> None:
    with gateway.connect() as client:
        peer = gateway.peers[-1]
        client.send("close")
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert (client.close_code, client.close_reason) == (4507, "replaced")
    until(lambda: peer.gone)


def test_the_servers_close_is_answered_also_when_reading_was_paused(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        peer = gateway.peers[-1]
        sock.sendall(masked(b"pause") + masked(b"later") + masked(struct.pack("!H", 1000), Opcode.CLOSE))
        until(lambda: peer.messages == [b"pause"])
        gateway.call(lambda: peer.socket.close(4000, "going_away"))
        assert close_code(sock) == 4000
        assert closed_by_server(sock)
        assert peer.messages == [b"pause"]


def test_who_does_not_answer_the_close_is_cut(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        peer = gateway.peers[-1]
        sock.sendall(masked(b"close"))
        assert close_code(sock) == 4507
        assert closed_by_server(sock)
        until(lambda: peer.gone == 1)


def test_a_cut_is_told_once(gateway: Gateway) -> None:
    sock = gateway.raw()
    peer = gateway.peers[-1]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    until(lambda: peer.gone == 1)
    gateway.call(lambda: (peer.socket.write(b"x"), peer.socket.close(4000), peer.socket.abort()))
    assert peer.gone == 1
    until(lambda: peer.socket not in gateway.server.server_state.connections)


def test_half_a_connection_is_no_connection(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        peer = gateway.peers[-1]
        sock.shutdown(socket.SHUT_WR)
        assert closed_by_server(sock)
        until(lambda: peer.gone == 1)


# --- what is refused -----------------------------------------------------------------------------


def test_one_byte_too_many_is_refused_before_it_has_come(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        size = MAX_FRAME_BYTES + 1
        sock.sendall(b"\x81\xff" + struct.pack("!Q", size) + b"mask" + b"z" * 10)
        assert close_code(sock) == 4506
        sock.sendall(b"z" * (size - 10) + masked(struct.pack("!H", 4506), Opcode.CLOSE))
        assert sock.recv(100) == b"", "the answer was found behind the payload that nobody kept"
        assert gateway.peers[-1].messages == []


@pytest.mark.parametrize("size", [2**31, 2**62, 2**63, 2**64 - 1])
def test_a_size_beyond_all_measure_costs_nothing(gateway: Gateway, size: int) -> None:
    with gateway.raw() as sock:
        sock.sendall(b"\x82\xff" + struct.pack("!Q", size) + b"mask")
        assert close_code(sock) == 4506
        ours = gateway.peers[-1].socket
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"z" * 65536)
        assert gateway.call(lambda: len(ours._tail)) < 100


def test_fragments_that_grow_too_large_are_refused(gateway: Gateway) -> None:
    with gateway.raw() as sock:
        sock.sendall(masked(b"x" * 40_000, fin=False) + masked(b"x" * 40_000, Opcode.CONT, fin=False))
        assert close_code(sock) == 4506


@pytest.mark.parametrize(
    ("first", "flood"),
    [
        (b"", masked(b"", Opcode.PING)),
        (b"", masked(b"", Opcode.PONG)),
        (masked(b"", fin=False), masked(b"", Opcode.CONT, fin=False)),
        (masked(b"x", fin=False), masked(b"x", Opcode.CONT, fin=False)),
        (b"", masked(b"x", fin=False) + masked(b"y", Opcode.CONT)),
    ],
    ids=["pings", "pongs", "empty fragments", "tiny fragments", "messages in fragments"],
)
def test_frames_that_cost_more_than_their_bytes_have_a_bound(
    gateway: Gateway, first: bytes, flood: bytes
) -> None:
    with gateway.connect() as other, gateway.raw() as sock:
        peer = gateway.peers[-1]
        sock.sendall(first + flood * (ODD_BOUND // 2 - 1))
        sock.sendall(masked(b"", Opcode.PING))
        with contextlib.suppress(ConnectionError):
            sock.sendall(flood * (ODD_BOUND + 10))
        assert close_code(sock) == 4002
        assert closed_by_server(sock)
        until(lambda: peer.gone == 1)
        other.send("fine")
        assert other.recv(10) == "fine"


def test_a_message_under_way_is_seen_and_one_that_ended_begins_anew(gateway: Gateway) -> None:
    """What the keepalive looks at: `late` counts its sweeps, and is for one message."""
    with gateway.raw() as sock:
        ours = gateway.peers[-1].socket
        assert ours is not None

        def sweep() -> int:
            ours.late += 1
            return ours.late

        frame = masked(b"x" * 100)
        assert not gateway.call(lambda: ours.unfinished)
        sock.sendall(frame[:50])
        until(lambda: gateway.call(lambda: ours.unfinished))
        assert gateway.call(sweep) == 1
        sock.sendall(frame[50:60])
        until(lambda: gateway.call(lambda: len(ours._tail)) == 60)
        assert gateway.call(sweep) == 2, "bytes prolong nothing"
        sock.sendall(frame[60:] + frame[:50])
        assert read_frame(sock)[1] == b"x" * 100
        until(lambda: gateway.call(lambda: ours.unfinished))
        assert gateway.call(sweep) == 1, "another message"
        sock.sendall(frame[50:] + masked(b"a", fin=False))
        assert read_frame(sock)[1] == b"x" * 100
        until(lambda: gateway.call(lambda: ours._fragments is not None))
        assert gateway.call(sweep) == 1
        sock.sendall(masked(b"b", Opcode.CONT, fin=False) + masked(b"c", Opcode.CONT, fin=False)[:3])
        until(lambda: gateway.call(lambda: len(ours._tail)) == 3)
        assert gateway.call(sweep) == 2, "fragments prolong nothing"
        sock.sendall(masked(b"c", Opcode.CONT, fin=False)[3:] + masked(b"", Opcode.CONT))
        assert read_frame(sock)[1][:2] == b"ab"
        assert not gateway.call(lambda: ours.unfinished)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
        (b"\xc1\x80mask", 1002),
        (b"\xa1\x80mask", 1002),
        (b"\x91\x80mask", 1002),
        (b"\x83\x80mask", 1002),
        (b"\x8b\x80mask", 1002),
        (masked(b"x", Opcode.CONT), 1002),
        (masked(b"x", fin=False) + masked(b"y"), 1002),
        (b"\x89\xfe\x00\x7emask" + b"x" * 126, 1002),
        (b"\x09\x80mask", 1002),
        (b"\x88\x81\0\0\0\0\x01", 1002),
        (masked(b"binary", Opcode.BINARY), 4500),
        (masked(b"binary", Opcode.BINARY, fin=False), 4500),
    ],
    ids=[
        "unmasked",
        "rsv1",
        "rsv2",
        "rsv3",
        "opcode 3",
        "opcode 11",
        "continuation of nothing",
        "two messages at once",
        "long ping",
        "fragmented ping",
        "short close",
        "wrong kind",
        "wrong kind in fragments",
    ],
)
def test_a_broken_frame_closes_its_sender_only(gateway: Gateway, frame: bytes, code: int) -> None:
    with gateway.connect() as other, gateway.raw() as sock:
        peer = gateway.peers[-1]
        sock.sendall(frame)
        assert close_code(sock) == code
        with contextlib.suppress(ConnectionError):
            sock.sendall(masked(b"still there?"))
        assert closed_by_server(sock)
        until(lambda: peer.gone == 1)
        assert b"still there?" not in peer.messages
        other.send("fine")
        assert other.recv(10) == "fine"


def test_text_to_a_binary_connection_is_a_bad_frame(gateway: Gateway) -> None:
    with gateway.raw(request(Sec_WebSocket_Protocol=SUBPROTOCOL_MSGPACK)) as sock:
        sock.sendall(masked(b"text"))
        assert close_code(sock) == 4500


# --- the handshake -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request("/v1/streams"), 404),
        (request("/"), 404),
        (request("//elsewhere.example/v1/stream"), 404),
        (request("//[/v1/stream"), 404),
        (request("/v1/stream?x=1"), 101),
        (request(Origin="https://evil.example"), 403),
        (request(Origin="null"), 403),
        (request(Origin="http://["), 403),
        (request(Origin="https://here.example.evil.example"), 403),
        (request(Origin="https://here.example"), 101),
        (request(Origin=FRIEND), 101),
        (request(Origin=FRIEND + ".evil.example"), 403),
        (request(Sec_WebSocket_Protocol="graphql-ws"), 400),
        (request(Sec_WebSocket_Protocol=f"graphql-ws, {SUBPROTOCOL_JSON}"), 101),
        (request(Sec_WebSocket_Version="12"), 400),
        (request(Sec_WebSocket_Key=""), 400),
        (request(Sec_WebSocket_Key="short"), 400),
    ],
    ids=lambda value: value.split(b"\r\n")[0].decode() if isinstance(value, bytes) else str(value),
)
def test_who_may_connect(gateway: Gateway, head: bytes, status: int) -> None:
    before = len(gateway.server.server_state.connections)
    assert gateway.status(head) == status
    until(lambda: len(gateway.server.server_state.connections) <= before)


def test_two_origins_are_one_too_many(gateway: Gateway) -> None:
    head = request(Origin="https://here.example").replace(
        b"Origin:", b"Origin: https://here.example\r\nOrigin:"
    )
    assert gateway.status(head) == 403


def test_the_server_prefers_messagepack_and_takes_what_it_knows(gateway: Gateway) -> None:
    for offered, chosen in (
        ([SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK], SUBPROTOCOL_MSGPACK),
        (["partyline.v9.json", SUBPROTOCOL_JSON], SUBPROTOCOL_JSON),
        (None, None),
    ):
        with gateway.connect(subprotocols=offered) as client:
            assert client.subprotocol == chosen
    with pytest.raises(InvalidStatus), gateway.connect(subprotocols=["partyline.v9.json"]):
        pass


def test_compression_is_offered_in_vain(gateway: Gateway) -> None:
    with gateway.connect(compression="deflate") as client:
        assert client.response.headers.get("Sec-WebSocket-Extensions") is None
        assert client.request.headers.get("Sec-WebSocket-Extensions") is not None


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("", "")],
)
def test_the_bearer_is_handed_over(gateway: Gateway, header: str, token: str) -> None:
    with gateway.raw(request(Authorization=header)):
        until(lambda: gateway.peers[-1].socket)
        assert gateway.peers[-1].bearer == token


# --- slow readers --------------------------------------------------------------------------------


def stuck(gateway: Gateway) -> tuple[socket.socket, Echo, int]:
    """A reader that does not read: the server has written until it was told to stop. Also: bytes written."""
    sock = gateway.raw(rcvbuf=4096)
    peer = gateway.peers[-1]
    frame = data_frame(b"p" * 1000, text=True)
    written = 0

    def write() -> int:
        count = 0
        while False not in peer.states[-1:] and count < 1000:
            peer.socket.write(frame)
            count += 1
        return count * len(frame)

    deadline = time.monotonic() + 15
    while False not in peer.states[-1:] or gateway.call(lambda: peer.socket.unsent_bytes) < 1000:
        written += gateway.call(write)
        time.sleep(0.002)
        assert time.monotonic() < deadline
    return sock, peer, written


def test_who_stops_reading_is_told_to_the_peer_and_costs_little(gateway: Gateway) -> None:
    sock, peer, written = stuck(gateway)
    with sock:
        assert gateway.call(lambda: peer.socket.unsent_bytes) <= WRITE_HIGH_WATER_BYTES + 2_000
        read = 0
        while read < written:
            read += len(sock.recv(65536))
        until(lambda: peer.states[-1] is True)
        assert read == written


def test_pings_of_who_does_not_read_are_not_answered_without_bound(gateway: Gateway) -> None:
    sock, peer, _ = stuck(gateway)
    with sock:
        before = gateway.call(lambda: peer.socket.unsent_bytes)
        for _ in range(20):
            sock.sendall(masked(b"x" * 125, Opcode.PING) * 50)
        sock.sendall(masked(b"heard"))
        until(lambda: peer.messages == [b"heard"])
        assert gateway.call(lambda: peer.socket.unsent_bytes) <= before + 1_000


def test_an_abort_forgets_what_was_not_sent(gateway: Gateway) -> None:
    sock, peer, written = stuck(gateway)
    with sock:
        unsent = gateway.call(lambda: (peer.socket.unsent_bytes, peer.socket.abort()))[0]
        assert unsent > 0
        read = 0
        with contextlib.suppress(ConnectionResetError):
            while got := sock.recv(65536):
                read += len(got)
        assert read <= written - unsent
        until(lambda: peer.gone == 1)
        assert gateway.call(lambda: peer.socket.unsent_bytes) == 0


def test_paused_reading_stops_delivery_and_goes_on_in_order(gateway: Gateway) -> None:
    words = [b"%d" % n for n in range(300)]
    with gateway.raw() as sock:
        peer = gateway.peers[-1]
        sock.sendall(masked(b"pause") + b"".join(map(masked, words[:100])))
        until(lambda: peer.messages)
        sock.sendall(masked(b"pause") + b"".join(map(masked, words[100:])))
        time.sleep(0.1)
        assert peer.messages == [b"pause"]
        gateway.call(peer.socket.resume_reading)
        until(lambda: len(peer.messages) == 102)
        assert peer.messages == [b"pause", *words[:100], b"pause"]
        gateway.call(lambda: (peer.socket.resume_reading(), peer.socket.resume_reading()))
        until(lambda: len(peer.messages) == 302)
        assert peer.messages[102:] == words[100:]


# --- uvicorn -------------------------------------------------------------------------------------


def test_a_stopping_server_drains_its_peers() -> None:
    gateway = Gateway()
    with gateway.connect() as client:
        peer = gateway.peers[-1]
        waiting = threading.Thread(target=gateway.stop)
        waiting.start()
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == 4000
    waiting.join(20)
    assert peer.drained == 1
    assert peer.gone == 1


def test_what_we_rest_on_in_uvicorn_is_as_we_know_it() -> None:
    from uvicorn.protocols.http import h11_impl

    assert uvicorn.__version__.startswith("0.54."), "look at server/upgrade.py before another version"
    source = inspect.getsource(h11_impl.H11Protocol.handle_websocket_upgrade)
    for piece in (
        "self.ws_protocol_class(",
        "config=self.config",
        "server_state=self.server_state",
        "app_state=self.app_state",
        "protocol.connection_made(self.transport)",
        "self.transport.set_protocol(protocol)",
    ):
        assert piece in source
    stopping = inspect.getsource(uvicorn.Server.shutdown)
    assert "in list(self.server_state.connections)" in stopping
    assert "connection.shutdown()" in stopping


# --- any splitting of a stream -------------------------------------------------------------------


class RecordingTransport:
    """A transport without a socket: what a `WebSocket` calls of asyncio's."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.reading = True
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


class Pausing(Echo):
    """A peer that pauses at some messages, as one that carries out a command."""

    def __init__(self, pauses: set[int]) -> None:
        super().__init__()
        self.pauses = pauses

    def received(self, payload: bytes) -> None:
        self.messages.append(payload)
        if len(self.messages) in self.pauses:
            self.socket.pause_reading()


sizes = st.sampled_from([0, 1, 124, 125, 126, 127, 128, 300, 65535, 65536]) | st.integers(0, 300)
pieces = st.lists(sizes, min_size=1, max_size=4)


@st.composite
def streams(draw: Any) -> tuple[bytes, list[bytes]]:
    """Valid frames in a row, and the messages that they make."""
    data, messages = b"", []
    for count, lengths in enumerate(draw(st.lists(pieces, max_size=8))):
        if sum(lengths) > MAX_FRAME_BYTES:
            continue
        parts = [bytes([65 + count]) * length for length in lengths]
        messages.append(b"".join(parts))
        for place, part in enumerate(parts):
            opcode = Opcode.CONT if place else Opcode.TEXT
            data += masked(part, opcode, fin=place == len(parts) - 1)
            if draw(st.integers(0, 3)) == 0:
                data += masked(
                    b"p" * draw(st.integers(0, 125)), draw(st.sampled_from([Opcode.PING, Opcode.PONG]))
                )
    return data, messages


@given(streams(), st.data())
@settings(max_examples=300, deadline=None)
async def test_however_a_stream_is_split_the_messages_are_the_same(
    stream: tuple[bytes, list[bytes]], data: st.DataObject
) -> None:
    whole, messages = stream
    peer = Pausing(data.draw(st.sets(st.integers(1, 8), max_size=4)))
    transport = RecordingTransport()
    ours = WebSocket(peer=peer, slots=slots(), connections=set(), subprotocols=SUBPROTOCOLS)
    ours.connection_made(transport)  # type: ignore[arg-type]
    ours.data_received(request())
    at = 0
    near = st.integers(1, 20) | st.integers(1, 70_000) | st.integers(1, max(1, len(whole)))
    while at < len(whole) or not transport.reading:
        if transport.reading:
            step = data.draw(near)
            ours.data_received(whole[at : at + step])
            at += step
        else:
            ours.resume_reading()
    assert peer.messages == messages
    assert ours.open
    assert len(ours._tail) == 0


@given(st.lists(st.binary(min_size=1, max_size=40) | st.binary(max_size=12).map(masked), max_size=10))
@settings(max_examples=300, deadline=None)
async def test_arbitrary_bytes_end_in_a_close_and_never_raise(chunks: list[bytes]) -> None:
    peer, transport = Echo(), RecordingTransport()
    ours = WebSocket(peer=peer, slots=slots(), connections=set(), subprotocols=SUBPROTOCOLS)
    ours.connection_made(transport)  # type: ignore[arg-type]
    ours.data_received(request())
    for chunk in chunks:
        if not transport.closing:
            ours.data_received(chunk)
    ours.connection_lost(None)
    assert peer.gone == 1
    assert not ours.open


@given(st.lists(st.binary(max_size=60), max_size=4) | st.binary(max_size=60).map(lambda b: [request() + b]))
@settings(max_examples=200, deadline=None)
async def test_an_arbitrary_handshake_never_raises(chunks: list[bytes]) -> None:
    peer, transport = Echo(), RecordingTransport()
    ours = WebSocket(peer=peer, slots=slots(), connections=set(), subprotocols=SUBPROTOCOLS)
    ours.connection_made(transport)  # type: ignore[arg-type]
    for chunk in chunks:
        if not transport.closing:
            ours.data_received(chunk)
    ours.connection_lost(None)
    assert peer.gone == 1
