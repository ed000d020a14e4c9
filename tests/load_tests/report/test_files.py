"""A report on disk is whole or not there, comes back as it was, and whatever is not one is one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from load_tests.cannot_start import CannotStart
from load_tests.report.files import as_json, check, read, write
from load_tests.report.page import page
from tests.load_tests.report.runs import nothing, run


def sentence(path: Path) -> str:
    with pytest.raises(CannotStart) as error:
        read(path)
    text = str(error.value)
    assert "\n" not in text
    assert path.name in text
    return text


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    for made in (run(5), nothing()):
        write(made, None, tmp_path / "run.json", None)
        assert read(tmp_path / "run.json") == made


def test_both_files_are_written_and_nothing_beside_them(tmp_path: Path) -> None:
    write(run(5), tmp_path / "run.html", tmp_path / "run.json", nothing())
    assert sorted(os.listdir(tmp_path)) == ["run.html", "run.json"]
    assert (tmp_path / "run.html").read_text() == page(run(5), nothing())


def test_the_json_holds_the_figures_for_programs(tmp_path: Path) -> None:
    write(run(5), None, tmp_path / "run.json", None)
    said = json.loads((tmp_path / "run.json").read_text())
    assert said["figures"]["Deliveries"] == {"unit": "/s", "value": 80}
    assert said["account"]["offered"] == 100
    assert "\n  " in (tmp_path / "run.json").read_text()


def test_an_earlier_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("x" * 1_000_000)
    write(nothing(), None, path, None)
    assert read(path) == nothing()


def test_nothing_is_written_where_nothing_is_asked_for(tmp_path: Path) -> None:
    write(run(5), None, None, None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"scenario": 7}',
        b"[" * 100_000,
        b"<!DOCTYPE html><html></html>",
        json.dumps({"totals": {}, "rows_expected": {}}).encode(),
    ],
)
def test_a_broken_or_foreign_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "before.json"
    path.write_bytes(content)
    assert "--json" in sentence(path)


def test_a_file_of_an_older_version_is_one_sentence(tmp_path: Path) -> None:
    older = json.loads(as_json(run(5)))
    del older["audited"]
    path = tmp_path / "before.json"
    path.write_text(json.dumps(older))
    assert "this version" in sentence(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seconds", -1),
        ("seconds", 1e300),
        ("started_at_s", 1e300),
        ("members", -5),
        ("members", 10**30),
        ("gave_up", {"4501": -1}),
        ("samples", [{"at_s": 1e15, "figures": {}}]),
        ("samples", [{"at_s": 1_700_000_000, "figures": {"gateway_cpu_s": 1e308}}]),
        ("tallies", [{"at_s": 10**17}]),
        ("tallies", [{"at_s": 1_700_000_000, "held": -1}]),
        ("tallies", [{"at_s": 1_700_000_000, "delay_ms": {"100000000": 1}}]),
        ("tallies", [{"at_s": 1_700_000_000, "delay_ms": {"-3": 1}}]),
        ("tallies", [{"at_s": 1_700_000_000, "delay_ms": {"3": 10**40}}]),
    ],
)
def test_numbers_that_no_run_has_are_one_sentence(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(json.loads(as_json(run(5))) | {key: value}))
    sentence(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_to_a_page_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.loads(as_json(run(1)))
    key = data.draw(st.sampled_from(sorted(whole)))
    whole[key] = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=5), one, max_size=2),
            max_leaves=4,
        )
    )
    path = tmp_path / "before.json"
    path.write_text(json.dumps(whole))
    try:
        before = read(path)
    except CannotStart:
        return
    assert page(nothing(), before)


def test_a_file_that_is_not_there_or_a_folder_is_one_sentence(tmp_path: Path) -> None:
    sentence(tmp_path / "nowhere.json")
    sentence(tmp_path)


def test_what_cannot_be_written_is_known_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="no such folder"):
        check(tmp_path / "nowhere" / "run.html", None)
    with pytest.raises(CannotStart, match="is a folder"):
        check(None, tmp_path)
    check(tmp_path / "run.html", tmp_path / "run.json")
    check(None, None)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_refuses_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 255)  # fits, but the name beside it does not
    with pytest.raises(CannotStart, match="cannot be written"):
        write(nothing(), None, long, None)
    assert os.listdir(tmp_path) == []


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    """In a process of its own, where matplotlib cannot be found; the JSON is written all the same."""
    program = """
import sys
from pathlib import Path
from importlib.abc import MetaPathFinder
class Hides(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "jinja2"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hides())
from importlib import util
whole = util.find_spec
util.find_spec = lambda name: None if name in ("matplotlib", "jinja2") else whole(name)
from load_tests.cannot_start import CannotStart
from load_tests.report import files
from tests.load_tests.report.runs import nothing
folder = Path(sys.argv[1])
files.write(nothing(), None, folder / "run.json", None)
assert files.read(folder / "run.json") == nothing()
try:
    files.check(folder / "run.html", None)
except CannotStart as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == (
        "The HTML report needs jinja2 and matplotlib: run `make install`, or pip install jinja2 matplotlib; "
        "without it --json still works.\n"
    )


def test_no_run_holds_what_json_cannot_carry() -> None:
    assert msgspec.json.decode(as_json(run(2)))["samples"][1]["figures"]["gateway_cpu_s"] == 3.25
