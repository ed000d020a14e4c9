"""Markdown that stays what it is meant to be: cells, code and lists of text that somebody else wrote."""

from __future__ import annotations

from collections.abc import Sequence


def cell(text: str) -> str:
    """Text on one line that does not end its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Text as code on one line, also where it has backticks."""
    flat = " ".join(text.split())
    fence = "`"
    while fence in flat:
        fence += "`"
    space = " " if "`" in flat else ""
    return f"{fence}{space}{flat}{space}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, with a line at its end; nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def listed(words: Sequence[str], *, none: str = "nobody") -> str:
    """Words as code, in their order."""
    return ", ".join(code(word) for word in words) or none
