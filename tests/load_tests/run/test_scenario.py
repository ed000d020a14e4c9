"""Scenarios: the shipped ones make crowds; a mistake in a file is one sentence that names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from load_tests.cannot_start import CannotStart
from load_tests.crowd.model import Crowd
from load_tests.run.scenario import DEFAULT, Scenario, Storm, load, parse, shipped


def test_the_shipped_scenarios_say_what_they_are_and_make_crowds() -> None:
    found = dict(shipped())
    assert next(iter(found)) == DEFAULT == "mixed"
    assert {*found} == {"mixed", "rush-hour", "tunnel", "reconnect-storm", "slow-phones", "host-tightens"}
    for one in found.values():
        assert one.about.endswith(".")
        crowd = Crowd(1, one.members, one.party_size, one.rate, one.minutes, one.place, one.traits)
        assert len(crowd.party(0)) == one.party_size
        assert one.session.max_members >= one.party_size
        assert one.objectives.violations == 0
        assert one.objectives.held_at_end == 0


def test_a_file_says_as_much_as_it_wants() -> None:
    assert parse("", "mine.toml") == Scenario()
    one = parse(
        """
        about = "A storm over Busan."
        members = 10
        [city]
        name = "Busan"
        south = 35.05
        west = 128.95
        north = 35.25
        east = 129.2
        [traits]
        walk = 1
        tunnel_s = [5, 6.5]
        precision = "rough"
        [session]
        tick_ms = 250
        [[storms]]
        at_s = 3
        share = 0.5
        [objectives]
        delay_p99_ms = 900
        """,
        "mine.toml",
    )
    assert (one.members, one.party_size, one.place.name) == (10, 5, "Busan")
    assert (one.traits.tunnel_s, one.traits.precision) == ((5, 6.5), "rough")
    assert (one.session.tick_ms, one.session.max_members) == (250, 500)
    assert one.storms == [Storm(at_s=3, share=0.5)]
    assert (one.objectives.delay_p99_ms, one.objectives.delay_p50_ms) == (900, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("speed = 1", "there is no key speed"),
        ("[traits]\nwalks = 1", "traits: there is no key walks"),
        ("[session]\ntick = 1", "session: there is no key tick"),
        ("[objectives]\ndelay = 1", "objectives: there is no key delay"),
        ("members = 0", "members: expected int >= 1"),
        ("rate = 1000", "rate: expected float <= 50"),
        ("minutes = 'long'", "minutes: expected float, got str"),
        ("session = 3", "session: expected object, got int"),
        ("[traits]\ntunnel_s = [3, 1]", "tunnel_s is a pair"),
        ("[traits]\nlate_joiner_share = 2", "late_joiner_share is a share"),
        ("[slow]\npause_s = [0, 1]", "pause_s is a pair"),
        ("[[storms]]\nat_s = 1\n[[storms]]\nat_s = -1", "storms[1].at_s"),
        ("[[storms]]\nshare = 1", "storms[0]"),
        ("[objectives]\nconnected_share = 1.5", "objectives.connected_share"),
        ("[city]\nsouth = 1\nwest = 2\nnorth = 0\neast = 3", "give south < north"),
        ("members =", "is no TOML"),
        ("members = nan", "members"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_and_the_key(text: str, says: str) -> None:
    with pytest.raises(CannotStart) as refused:
        parse(text, "mine.toml")
    assert str(refused.value).startswith("mine.toml")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_scenario_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    for name in ("rush", str(tmp_path / "rush.toml"), str(tmp_path)):
        with pytest.raises(CannotStart, match=r"There is no scenario .*mixed, host-tightens.*list-scenarios"):
            load(name)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CannotStart, match=r"mine\.toml is not a text in UTF-8"):
        load(str(path))
    path.write_text("members = 7")
    assert load(str(path)).members == 7
