"""`partyline bench`: trouble is one sentence, what is absent is named, Ctrl-C ends with what was done."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from load_tests.bench.proc import children
from load_tests.bench_command import bench

PROGRAM = """
import typer
from load_tests.bench_command import bench
if __name__ == "__main__":
    typer.run(bench)
"""


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command("bench")(bench)
    result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def test_a_subject_that_is_not_known_names_those_that_are() -> None:
    result = run("--only", "apache")
    assert result.exit_code == 2
    assert "Partyline, C floor, Node ws" in result.output


def test_a_file_that_cannot_be_written_is_told_before_an_hour_of_measuring(tmp_path: Path) -> None:
    result = run("--quick", "--json", tmp_path / "none" / "x.json")
    assert result.exit_code == 2
    assert "no such folder" in result.output


def test_what_is_absent_is_named_with_the_command_and_nothing_measured_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("load_tests.bench.prerequisites.ADMIN_FOLDERS", ())
    result = run("--quick", "--only", "mosquitto")
    assert result.exit_code == 1
    assert "Skipped: mosquitto: mosquitto is not installed; install it with: apt-get install" in result.output


def test_one_subject_is_measured_and_written_down(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    result = run("--quick", "--only", "C floor", "--connections", 50, "--json", file)
    if "Skipped" in result.output:
        pytest.skip(result.output)
    assert result.exit_code == 0, result.output
    assert "Nothing was lost." in result.output
    document = json.loads(file.read_text())
    measured = {(row["subject"], row["measure"]) for row in document["rows"]}
    assert measured == {
        ("C floor", measure)
        for measure in ("flooded_relay", "flooded_tick", "paced_relay", "paced_tick", "idle_memory")
    }
    assert all(one["verdict"] == "not measured" for one in document["criteria"])


def test_ctrl_c_ends_with_what_was_done_and_leaves_nothing_running(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), "--only", "C floor", "--connections", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for _ in range(600):
            below = children(process.pid)
            if len(below) >= 2:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in below):
            return
        time.sleep(0.05)
    raise AssertionError("something was left running")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_partyline_is_measured_with_everything_on(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    result = run("--quick", "--only", "Partyline", "--connections", 100, "--json", file)
    assert result.exit_code == 0, result.output
    rows = {row["measure"]: row for row in json.loads(file.read_text())["rows"]}
    assert {
        "flooded_tick",
        "paced_tick",
        "idle_memory",
        "beyond_tick_p99",
        "writer_rate",
        "copy_rate",
    } <= set(rows)
    assert {"drop", "delete", "writer_cpu"} <= set(rows)
    assert all(row["median"] > 0 for name, row in rows.items() if name != "beyond_tick_p99")
