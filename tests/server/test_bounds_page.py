"""docs/bounds.md is true: it names every collection that an object holds, and its numbers are the code's."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "bounds.md").read_text(encoding="utf-8")
GROWS = re.compile(
    r"\b(dict|list|set|deque|OrderedDict|defaultdict|Counter|WeakValueDictionary|WeakSet|bytearray|Queue)\b[\[(]"
    r"|^(\{\}|\[\])$"
)
FIXED = {"problems.headers"}
"""Filled where it is made, and never again."""


def collections_held() -> Iterator[str]:
    """`module.attribute` of everything that an `__init__` makes empty and that can grow."""
    for path in sorted([*(ROOT / "server").glob("*.py"), *(ROOT / "protocol").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign):
                target, made = node.target, f"{ast.unparse(node.annotation)} "
                made += ast.unparse(node.value) if node.value is not None else ""
            elif isinstance(node, ast.Assign):
                target, made = node.targets[0], ast.unparse(node.value)
            else:
                continue
            if (
                isinstance(target, ast.Attribute)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
                and GROWS.search(made)
            ):
                yield f"{path.stem}.{target.attr}"


def test_every_collection_is_named() -> None:
    held = set(collections_held()) - FIXED
    assert len(held) > 25
    missing = sorted(name for name in held if f"`{name}`" not in PAGE)
    assert missing == [], "write into docs/bounds.md what ends their growth"


def test_nothing_is_named_that_is_not_there() -> None:
    for module, attribute in re.findall(r"`([a-z_]+)\.(_[a-z_]+)`", PAGE):
        path = ROOT / "server" / f"{module}.py"
        source = path if path.exists() else ROOT / "protocol" / f"{module}.py"
        assert f"self.{attribute}" in source.read_text(encoding="utf-8"), f"{module}.{attribute}"


def test_its_numbers_are_the_codes() -> None:
    numbers = re.findall(r"`([a-z_]+)\.([A-Z][A-Z_]+)` = ([\d,.]*\d)", PAGE)
    assert len(numbers) > 25
    for module, name, said in numbers:
        package = "server" if (ROOT / "server" / f"{module}.py").exists() else "protocol"
        value = getattr(importlib.import_module(f"{package}.{module}"), name)
        assert value == float(said.replace(",", "")), f"{module}.{name} is {value}"


def test_its_settings_and_tests_exist() -> None:
    settings = (ROOT / "server" / "settings.py").read_text(encoding="utf-8")
    for name in set(re.findall(r"`PARTYLINE_([A-Z_]+)`", PAGE)):
        assert f"    {name.lower()}: int" in settings, name
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    for name in set(re.findall(r"`((?:[a-z0-9]+/)?test_\w+)`", PAGE)):
        assert f"{name}.py" in tests or f"server/{name}.py" in tests, name
