"""The plot is an SVG that holds every subject."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from load_tests.bench.plot import draw
from load_tests.bench.results import Results


def test_every_subject_has_a_bar(tmp_path: Path) -> None:
    results = Results()
    for subject, value in (("Partyline", 10.0), ("C floor", 4.0)):
        results.add(subject, "flooded_tick", value)
    draw(results, tmp_path / "bench.svg")
    assert ElementTree.parse(tmp_path / "bench.svg").getroot().tag.endswith("svg")
    text = (tmp_path / "bench.svg").read_text()
    assert "Partyline" in text
    assert "C floor" in text
