"""Wrong frames and wrong requests over real sockets at a real gateway, while two phones share their way.

The gateway answers no request with a 5xx, logs no error, and the phones get each other's positions and their acks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import select
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol.codec import CODECS
from server.up import Up
from tests.e2e.conftest import Phone, every_phone_is_closed, new_session, now_ms, started
from tests.fuzz.mutator import ODD_TEXTS, Mutator
from tests.fuzz.recorded import client_frames, masked
from tests.fuzz.world import SUBPROTOCOLS
from tests.server.test_websocket import request

__all__ = ["every_phone_is_closed"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONNECTIONS = int(os.environ.get("PARTYLINE_TEST_FUZZ_CONNECTIONS", "600"))
REQUESTS = int(os.environ.get("PARTYLINE_TEST_FUZZ_REQUESTS", "3000"))
AT_ONCE = 8
GROWTH_BYTES = 48 * 1024 * 1024


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = started(tmp_path_factory.mktemp("up"))
    yield running
    running.stop()


def seed() -> int:
    drawn = int(os.environ.get("PARTYLINE_TEST_FUZZ_SEED", secrets.randbelow(2**31)))
    print(f"PARTYLINE_TEST_FUZZ_SEED={drawn}")  # noqa: T201
    return drawn


def complaints(up: Up) -> list[str]:
    log = (up.data_dir / "gateway.log").read_text()
    return [line for line in log.splitlines() if json.loads(line)["level"] in ("ERROR", "CRITICAL")]


def resident_bytes(up: Up) -> int:
    return int(Path(f"/proc/{up.processes['gateway'].pid}/statm").read_text().split()[1]) * 4096


class Witnesses:
    """Two members of a party, each of whom must go on getting what the other sends."""

    def __init__(self, phones: list[Phone]) -> None:
        self._phones = phones
        self.rounds = 0

    @classmethod
    async def of(cls, up: Up, token: str) -> Witnesses:
        return cls([await Phone.join(up, token, name) for name in ("One", "Other")])

    async def glance(self) -> None:
        """Each sends a fix of a window that closes at once; the ack and the other's position must come."""
        self.rounds += 1
        at = now_ms()
        sent = [await phone.fix(37.5 + self.rounds * 1e-6, 127.0, at=at) for phone in self._phones]
        for phone, seq, other in zip(self._phones, sent, reversed(self._phones), strict=True):
            await self._sees(phone, other.welcome["you"], at)
            if self.rounds % 4 == 0:
                await phone.acked(seq)

    async def _sees(self, phone: Phone, number: int, at: int) -> None:
        while True:
            rows = (await phone.until("positions"))["p"]
            if any(row[0] == number and row[1] == at for row in rows):
                return


def throw(port: int, name: str, first: bytes, inputs: list[bytes]) -> bytes:
    """One connection: a handshake, a first message, and then anything, until the server has enough of it."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request(Sec_WebSocket_Protocol=name))
        answer = sock.recv(4096)
        with contextlib.suppress(OSError):  # it may be cut while we talk
            sock.sendall(first)
            for data in inputs:
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
    return answer


async def test_wrong_frames_over_real_sockets(up: Up) -> None:
    made = new_session(up, max_members=500)
    witnesses = await Witnesses.of(up, made["sharable_token"])
    drawn, port = seed(), int(up.http.rpartition(":")[2])
    random, mutators = Random(drawn), {n: Mutator(client_frames(n), drawn, CODECS[n]) for n in SUBPROTOCOLS}
    tokens = []
    for _ in range(8):
        tokens.append((await Phone.join(up, made["sharable_token"], "Stranger")).welcome["member_token"])
    before, done, inputs = resident_bytes(up), 0, 0
    while done < CONNECTIONS:
        batch = []
        for _ in range(AT_ONCE):
            name = random.choice(SUBPROTOCOLS)
            first = CODECS[name].encode({"t": "resume", "token": random.choice(tokens)})
            thrown = [mutators[name].next() for _ in range(random.randint(1, 40))]
            inputs += len(thrown)
            batch.append(asyncio.to_thread(throw, port, name, masked(first, text=CODECS[name].text), thrown))
        answers = await asyncio.gather(*batch)
        assert all(answer.startswith(b"HTTP/1.1 101 ") for answer in answers)
        done += AT_ONCE
        if done % (4 * AT_ONCE) == 0:
            await witnesses.glance()
    await witnesses.glance()
    print(f"{done} connections, {inputs} inputs, {witnesses.rounds} rounds")  # noqa: T201
    assert complaints(up) == []
    assert resident_bytes(up) - before < GROWTH_BYTES


# --- HTTP ------------------------------------------------------------------------------------------


class Requests:
    """An endless run of requests that are nearly right."""

    def __init__(self, drawn: int, session: int, token: str) -> None:
        self._random = Random(drawn)
        one = f"/v1/sessions/{session}"
        options: dict[str, Any] = {"tick_ms": 250, "rough_cell_m": 500, "max_members": 50, "live_only": False}
        new = {"display_name": "Host", "precision": "exact", "options": options}
        self._calls: list[tuple[str, str, Any]] = [
            ("POST", "/v1/sessions", new),
            ("GET", one, None),
            ("PATCH", one, {"precision": "rough", "options": {"tick_ms": 500}}),
            ("POST", f"{one}/token", {}),
            ("GET", f"{one}/members", None),
            ("DELETE", f"{one}/members/900", None),
            ("GET", f"{one}/track?member=1&from=0&to=9999999999999&points=100", None),
            ("GET", f"{one}/summary?member=1", None),
            ("GET", "/healthz", None),
            ("GET", "/readyz", None),
            ("GET", "/metrics", None),
            ("GET", "/j", None),
            ("GET", "/docs", None),
        ]
        self._token = token

    def next(self) -> bytes:
        random = self._random
        method, path, body = random.choice(self._calls)
        headers = {"Host": "here.example", "Authorization": f"Bearer {self._token}"}
        data = b""
        if path == "/v1/sessions":  # as a guest
            del headers["Authorization"]
        if body is not None:
            data = json.dumps(self._changed(body) if random.random() < 0.6 else body).encode()
            headers["Content-Type"] = "application/json"
            if random.random() < 0.5:
                data = self._wrong(data)
            headers["Content-Length"] = str(len(data))
        if random.random() < 0.3:
            method = random.choice(("HEAD", "PUT", "OPTIONS", "get", "TRACE", "DELETE", "X" * 30))
        if random.random() < 0.5:
            path = self._path(path)
        if random.random() < 0.5:
            self._change_header(headers)
        if method == "DELETE" and "/members/" not in path:
            method = "GET"  # the session is needed further on
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode(
            "utf-8", "surrogatepass"
        )
        return (self._wrong(head) if random.random() < 0.15 else head) + data

    def _wrong(self, data: bytes) -> bytes:
        random, at = self._random, self._random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0:
                return data[:at] + random.choice(ODD_TEXTS) + data[at:]
            case 1:
                return data[:at] + data[min(len(data), at + random.randrange(9)) :]
            case 2:
                return data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
            case _:
                return data[:at] * 2 + data[at:]

    def _changed(self, body: dict[str, Any]) -> dict[str, Any]:
        random, changed = self._random, dict(body)
        odd = (None, -1, 0, 2**63, 1e308, "", "\x00", "x" * 5_000, [], {}, True, "exact", "\ud800", [[]] * 99)
        keys = [*body, "options", "trip_id", "precision"]
        changed[random.choice(keys)] = random.choice(odd)
        if isinstance(changed.get("options"), dict):
            names = (
                "tick_ms",
                "ttl_hours",
                "token_expires_at",
                "token_max_uses",
                "started_at",
                "x",
                "live_only",
            )
            changed["options"] = {**changed["options"], random.choice(names): random.choice(odd)}
        return changed

    def _path(self, path: str) -> str:
        random = self._random
        odd = (
            "%00",
            "%ff",
            "..",
            "//",
            "9" * 40,
            "-1",
            "%2e%2e",
            "?",
            "&from=1e9",
            "\u20ac",
            "%",
            ";",
            "a" * 3_000,
        )
        at = random.randrange(1, len(path) + 1)
        return path[:at] + random.choice(odd) + path[at + random.choice((0, 0, 3)) :]

    def _change_header(self, headers: dict[str, str]) -> None:
        random = self._random
        name = random.choice(
            (*headers, "Accept", "Origin", "Transfer-Encoding", "Content-Length", "Range", "X" * 200)
        )
        odd = (
            "",
            "\x00",
            "*/*;q=" + "9" * 30,
            "chunked",
            "-1",
            "9" * 30,
            "Bearer",
            "Bearer \xff",
            "x" * 9_000,
            "a/b;",
        )
        headers[name] = random.choice(odd)


def ask(port: int, data: bytes) -> int:
    """The status of the answer; 0 when there is none: more of the request is waited for, or it was no request."""
    with socket.create_connection(("127.0.0.1", port), 15) as sock:
        sock.sendall(data)
        readable, _, _ = select.select([sock], [], [], 0.3)
        try:
            if not readable:
                sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(64)
        except ConnectionError:
            return 0
        return int(answer.split()[1]) if answer else 0


async def test_wrong_requests_are_the_senders_fault(up: Up) -> None:
    made = new_session(up)
    witnesses = await Witnesses.of(up, made["sharable_token"])
    drawn, port = seed(), int(up.http.rpartition(":")[2])
    other = new_session(up)  # what they change is another session than the witnesses'
    requests = Requests(drawn, other["session"], other["host"]["member_token"])
    statuses: Counter[int] = Counter()
    for done in range(0, REQUESTS, AT_ONCE):
        sent = [requests.next() for _ in range(AT_ONCE)]
        answers = await asyncio.gather(*(asyncio.to_thread(ask, port, data) for data in sent))
        for data, status in zip(sent, answers, strict=True):
            assert status < 500, data
        statuses.update(answers)
        if done % 400 == 0:
            await witnesses.glance()
    print(sorted(statuses.items()))  # noqa: T201
    assert complaints(up) == []
    assert {200, 201, 400, 401, 404, 405, 422} <= statuses.keys()
