"""The command `partyline check-data`: settings in, a line a rule out. What it does is `db.checks`'s."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from server.settings import SettingsError, read_settings, require

if TYPE_CHECKING:
    from db.checks.rules import Rule
    from db.checks.run import Finding

EXIT_BROKEN, EXIT_CANNOT_CHECK, EXIT_INTERRUPTED = 1, 2, 130
SHOWN_KEYS = 5


def _list_rules(asked: bool) -> None:
    if asked:
        from db.checks.rules import RULES  # noqa: PLC0415

        for rule in RULES:
            typer.echo(f"{rule.name:<48}{'(warning) ' if rule.warning else ''}{rule.says}")
        raise typer.Exit


def check_data(
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Check only this rule; again for several.")
    ] = None,
    list_rules: Annotated[
        bool, typer.Option("--list", callback=_list_rules, is_eager=True, help="Name the rules.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here.")] = None,
    timeout: Annotated[int, typer.Option(min=1, max=86_400, help="Seconds that one rule may take.")] = 600,
) -> None:
    """Check that the live data keeps the product's rules. Changes nothing.

    PARTYLINE_DATABASE_URL names a login that may become partyline_owner, such as partyline_migrator. Says how
    many rows break a rule and names some by their keys: never a place, a token or an e-mail. Needs the extra
    checks: pip install 'partyline[checks]'.

    Exits with 0 when no rule is broken (a warning breaks none), 1 when one is broken or could not be checked,
    2 if nothing could be checked, 130 after Ctrl-C.

    Examples:

      partyline check-data

      partyline check-data --list

      partyline check-data --rule trip_stops_are_not_repeated --rule ratings_are_in_range

      partyline check-data --json checks.json --timeout 3600
    """
    from db.checks.login import CannotCheck  # noqa: PLC0415
    from db.checks.rules import named  # noqa: PLC0415
    from db.checks.run import check  # noqa: PLC0415

    rules: Sequence[Rule] = ()
    findings: list[Finding] = []
    try:
        settings = read_settings(os.environ)
        require(settings, "database_url")
        rules = named(rule or [])
        _must_be_writable(json_file)
        _show_progress("starting")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
        for finding in check(settings.database_url, rules, ttl_hours=settings.ttl_hours, timeout_s=timeout):
            findings.append(finding)
            _show_progress()
            typer.echo(_line(finding))
            if len(findings) < len(rules):
                _show_progress(f"{len(findings) + 1} of {len(rules)}: {rules[len(findings)].name}")
    except (SettingsError, CannotCheck, ValueError) as error:
        _stop(str(error), EXIT_CANNOT_CHECK)
    except KeyboardInterrupt:
        _stop(f"stopped after {len(findings)} of {len(rules)} rules", EXIT_INTERRUPTED)
    typer.echo(_summary(findings))
    _write(json_file, findings)
    raise typer.Exit(EXIT_BROKEN if any(map(_broken, findings)) else 0)


def _broken(finding: Finding) -> bool:
    return finding.unchecked is not None or not (finding.good or finding.rule.warning)


def _line(finding: Finding) -> str:
    word = "ok" if finding.good else "FAILED" if _broken(finding) else "warning"
    line = f"{word:<8} {finding.rule.name:<47} {finding.rule.says}"
    if finding.unchecked is not None:
        return f"{line}\n{'':9}not checked: {finding.unchecked}"
    if finding.good:
        return line
    keys = "; ".join(
        ", ".join(f"{key} {value}" for key, value in row.items()) for row in finding.keys[:SHOWN_KEYS]
    )
    more = "; …" if finding.broken_rows > SHOWN_KEYS else ""
    rows = "1 row breaks" if finding.broken_rows == 1 else f"{finding.broken_rows} rows break"
    return f"{line}\n{'':9}{rows} it, in {finding.rule.tables}: {keys}{more}"


def _summary(findings: Sequence[Finding]) -> str:
    broken = sum(map(_broken, findings))
    warnings = sum(not finding.good for finding in findings) - broken
    return (
        f"{len(findings)} rules: {len(findings) - broken - warnings} ok, {broken} failed, {warnings} warnings"
    )


def _report(findings: Sequence[Finding]) -> dict[str, object]:
    """The validation's result without anything personal."""
    return {
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "success": not any(map(_broken, findings)),
        "results": [
            {
                "rule": finding.rule.name,
                "says": finding.rule.says,
                "tables": finding.rule.tables,
                "severity": "warning" if finding.rule.warning else "critical",
                "success": finding.good,
                "broken_rows": finding.broken_rows,
                "keys": finding.keys,
                "not_checked": finding.unchecked,
                "seconds": round(finding.seconds, 3),
            }
            for finding in findings
        ],
    }


def _must_be_writable(path: Path | None) -> None:
    """Before the work, not after it. Raises `ValueError`."""
    if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        raise ValueError(f"{path} cannot be written: name another --json")


def _write(path: Path | None, findings: Sequence[Finding]) -> None:
    if path is None:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(
            json.dumps(_report(findings), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        _stop(f"{path} cannot be written: {error.strerror}; name another --json", EXIT_CANNOT_CHECK)


def _show_progress(text: str = "") -> None:
    """One line that the next one takes the place of; only where somebody watches."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{text and text + ' …'}", nl=False, err=True)


def _stop(text: str, code: int) -> NoReturn:
    _show_progress()
    typer.echo(f"partyline: {text}", err=True)
    raise typer.Exit(code)
