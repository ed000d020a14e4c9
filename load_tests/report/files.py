"""The report on disk: HTML to look at, JSON to compare with later. Each is written whole or not at all.

What goes wrong is one sentence with the mend (`CannotStart`); nothing of a file's content is repeated in it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec

from load_tests.cannot_start import CannotStart
from load_tests.report.figures import figures
from load_tests.report.plausible import is_plausible
from load_tests.run.notes import Run
from load_tests.whole_file import SHARED, write_whole

NEEDED = ("jinja2", "matplotlib")
"""What the page is made with; an extra, since a gateway has no use for it."""


def check(html: Path | None, json: Path | None) -> None:
    """Before a run: whether its report can be written afterwards. Raises `CannotStart`."""
    for path in (html, json):
        if path is not None and not path.absolute().parent.is_dir():
            raise CannotStart(f"{path.name} cannot be written: there is no such folder; make it first.")
        if path is not None and path.is_dir():
            raise CannotStart(f"{path.name} is a folder; name a file for the report.")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if html is not None and missing:
        raise CannotStart(
            f"The HTML report needs {' and '.join(missing)}: run `make install`, or pip install "
            f"{' '.join(missing)}; without it --json still works."
        )


def write(run: Run, html: Path | None, json: Path | None, baseline: Run | None) -> None:
    """Write what is asked for, the JSON first. Raises `CannotStart`."""
    check(html, json)
    if json is not None:
        write_whole(json, as_json(run), SHARED)
    if html is not None:
        from load_tests.report.page import page  # noqa: PLC0415 - needs an extra, and a second to load

        write_whole(html, page(run, baseline).encode(), SHARED)


def as_json(run: Run) -> bytes:
    """The run, and under `figures` what the report derives from it."""
    derived = {one.name: {"unit": one.unit, "value": one.value} for one in figures(run)}
    return msgspec.json.format(
        msgspec.json.encode(msgspec.to_builtins(run, str_keys=True) | {"figures": derived})
    )


def read(path: Path) -> Run:
    """The run of an earlier JSON report. Raises `CannotStart`."""
    try:
        run = msgspec.json.decode(path.read_bytes(), type=Run)
    except OSError as error:
        raise CannotStart(
            f"{path.name} cannot be read ({error.strerror}); "
            "give the file that `partyline crowd --json` wrote."
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CannotStart(_foreign(path)) from None
    if not is_plausible(run):
        raise CannotStart(_foreign(path))
    return run


def _foreign(path: Path) -> str:
    return (
        f"{path.name} is not a JSON report of this version of `partyline crowd`; "
        "run the earlier crowd again with --json, and give that file."
    )
