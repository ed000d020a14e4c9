"""Reads a page as a browser would: its tables, its texts, its plots, and what it would fetch."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "hr", "input"}
FETCHING = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}


@dataclass
class Page:
    """`rows`: per table the texts of its rows' cells; `plots`: the drawn figures by title."""

    rows: list[list[str]] = field(default_factory=list)
    items: list[tuple[str, str]] = field(default_factory=list)
    """List items: class and text."""
    plots: dict[str, str] = field(default_factory=dict)
    """A figure's texts by its title."""
    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    text: str = ""

    def row(self, first: str) -> list[str]:
        """The cells after the first one of the row that begins with it."""
        (found,) = [row[1:] for row in self.rows if row and row[0] == first]
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []
        self.cell: str | None = None
        self.item: tuple[str, str] | None = None
        self.figure: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.add(tag)
        for name, value in attrs:
            self.page.attributes.add(name)
            if name in FETCHING:
                self.page.fetched.append(value or "")
            if name == "id":
                self.page.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.page.rows.append([])
        elif tag in ("td", "th"):
            self.cell = ""
        elif tag == "li":
            self.item = (dict(attrs).get("class") or "", "")
        elif tag == "figure":
            self.figure = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        if tag in ("td", "th") and self.cell is not None:
            self.page.rows[-1].append(" ".join(self.cell.split()))
            self.cell = None
        elif tag == "li" and self.item is not None:
            self.page.items.append((self.item[0], " ".join(self.item[1].split())))
            self.item = None
        elif tag == "figure" and self.figure is not None:
            self.page.plots[self.figure[0]] = " ".join(self.figure[1:])
            self.figure = None

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert "@import" not in data
            assert "url(" not in data
            return
        self.page.text += data
        if self.cell is not None:
            self.cell += data
        if self.item is not None:
            self.item = (self.item[0], self.item[1] + data)
        if self.figure is not None and data.strip():
            self.figure.append(data.strip())


def read_page(html: str) -> Page:
    """The page; raises `AssertionError` where tags do not match or a style would fetch something."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.page
