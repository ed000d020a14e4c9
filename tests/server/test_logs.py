"""Logs: one JSON object a line, of events and numbers, and nothing that a client sent."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from protocol import messages as wire
from protocol.codec import JSON, MSGPACK
from server.logs import set_up_logs
from tests.server.parties import NOW, Party

SECRET = "s3cr3t-t0ken"


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process would write, through its own handler and formatter."""
    root, ours = logging.getLogger(), logging.getLogger("partyline")
    before = (list(root.handlers), root.level, ours.level)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    set_up_logs(process="gateway", level="DEBUG")
    yield stream
    root.handlers[:], _, _ = before
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_a_line_is_one_object_with_event_level_time_and_process(stderr: io.StringIO) -> None:
    logging.getLogger("partyline.test").info("it happened", extra={"count": 3})
    (line,) = stderr.getvalue().splitlines()
    said = json.loads(line)
    assert said["event"] == "it happened"
    assert said["level"] == "INFO"
    assert said["logger"] == "partyline.test"
    assert said["process"] == "gateway"
    assert said["count"] == 3
    assert said["at"]


def test_a_line_break_in_an_event_makes_no_second_line(stderr: io.StringIO) -> None:
    logging.getLogger("partyline.test").info('a\n{"event": "forged"}')
    assert len(stderr.getvalue().splitlines()) == 1


def test_libraries_are_quiet_below_warnings(stderr: io.StringIO) -> None:
    logging.getLogger("websockets.server").info("a frame: %s", SECRET)
    logging.getLogger("asyncio").debug(SECRET)
    assert stderr.getvalue() == ""


def test_an_exception_tells_its_type_and_place_and_not_its_text(stderr: io.StringIO) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError:
        logging.getLogger("asyncio").exception("Fatal error")
    said = json.loads(stderr.getvalue())
    assert SECRET not in stderr.getvalue()
    assert "KeyError" in said["exc_info"]
    assert "test_logs.py" in said["exc_info"]


def test_nothing_that_a_client_sends_is_logged(stderr: io.StringIO) -> None:
    """Bad frames, bad fixes, refused commands: all that a connection can do wrong."""
    for codec in (JSON, MSGPACK):
        for frame in (
            SECRET.encode(),
            codec.encode({"t": SECRET}),
            codec.encode({"t": "fix", SECRET: 1}),
            codec.encode({"t": "resume", "token": 5, "x": SECRET}),
            codec.encode({"t": "join", "name": SECRET * 10, "token": SECRET}),
        ):
            party = Party()
            connection, _ = party.connect(codec, bearer=SECRET)
            connection.received(frame)
            assert not connection.is_open
        party = Party()
        _, socket = party.enter(codec=codec)
        party.fix(socket, 1, at=NOW + 10**9)
        party.fix(socket, 2, lat=91.2345)
        party.send(socket, wire.End())
    said = stderr.getvalue()
    assert SECRET not in said
    assert "91.2345" not in said
    for line in said.splitlines():
        json.loads(line)
