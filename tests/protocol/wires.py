"""Messages of the wire, drawn at random: every type, every field in its range."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protocol import messages as wire
from protocol.limits import MAX_NAME
from protocol.precision import Precision

texts = st.text(st.characters(exclude_categories=["Cs"]))
tokens = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=MAX_NAME).filter(
    str.strip
)
seqs = st.integers(0, 2**53 - 1)
times = st.integers(-(2**53), 2**53 - 1)
numbers = st.integers(0, 2**31 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | finite
precisions = st.sampled_from(Precision)
rows = st.lists(st.tuples(numbers, times, finite, finite, maybe, maybe, maybe), max_size=5)
members = st.builds(
    wire.Member,
    m=numbers,
    name=texts,
    role=st.sampled_from(wire.Role),
    state=st.sampled_from(wire.MemberState),
)


def _fix(kind: type) -> st.SearchStrategy[Any]:
    return st.builds(
        kind,
        seq=seqs,
        at=times,
        lat=finite,
        lon=finite,
        acc=maybe,
        spd=maybe,
        hdg=maybe,
        alt=maybe,
        bat=maybe,
    )


CLIENT: dict[type, st.SearchStrategy[Any]] = {
    wire.Join: st.builds(wire.Join, name=names, token=tokens, precision=precisions, user=tokens),
    wire.Resume: st.builds(wire.Resume, token=tokens),
    wire.Fix: _fix(wire.Fix),
    wire.Fixes: st.builds(wire.Fixes, items=st.lists(_fix(wire.Fix), max_size=5)),
    wire.Share: st.builds(wire.Share, precision=precisions),
    wire.SetPrecision: st.builds(wire.SetPrecision, precision=precisions),
    wire.Kick: st.builds(wire.Kick, m=numbers),
    wire.End: st.just(wire.End()),
    wire.Leave: st.just(wire.Leave()),
}
SERVER: dict[type, st.SearchStrategy[Any]] = {
    wire.Welcome: st.builds(
        wire.Welcome,
        session=numbers,
        you=numbers,
        role=st.sampled_from(wire.Role),
        member_token=tokens,
        precision=precisions,
        session_precision=precisions,
        revision=numbers,
        tick_ms=numbers,
        window_ms=numbers,
        now=times,
        members=st.lists(members, max_size=3),
        positions=rows,
    ),
    wire.Positions: st.builds(wire.Positions, at=times, p=rows),
    wire.Member: members,
    wire.PrecisionChanged: st.builds(wire.PrecisionChanged, precision=precisions, revision=numbers),
    wire.Ack: st.builds(wire.Ack, seq=seqs),
    wire.Rejected: st.builds(wire.Rejected, seq=seqs, code=st.sampled_from(wire.Reject)),
    wire.Policy: st.builds(wire.Policy, interval_ms=numbers, hold=st.booleans()),
    wire.Ended: st.builds(wire.Ended, reason=texts),
    wire.Error: st.builds(wire.Error, code=texts),
}
client_messages = st.one_of(*CLIENT.values())
server_messages = st.one_of(*SERVER.values())
