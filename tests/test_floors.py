"""The floors: who may import whom, what stays pure, and how every module begins."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("protocol", "db", "server", "load_tests")
MAY_IMPORT = {
    "protocol": {"protocol"},
    "db": {"db", "protocol"},
    "server": {"server", "db", "protocol"},
    "load_tests": {"load_tests", "protocol"},
}
PURE_SERVER = (
    "acks",
    "addresses",
    "admission",
    "batches",
    "connection",
    "doors",
    "filling",
    "frames",
    "grid",
    "handshake",
    "holding",
    "hub",
    "lease",
    "masking",
    "outbox",
    "peer",
    "peers",
    "position",
    "rate",
    "rough",
    "session",
    "ticks",
    "unsaid",
    "windows",
)
SHELL = {
    *(
        "asyncio",
        "socket",
        "ssl",
        "selectors",
        "select",
        "threading",
        "multiprocessing",
        "subprocess",
        "signal",
    ),
    *("time", "random", "secrets", "os", "http", "urllib"),
    *("asyncpg", "psycopg", "redis", "uvicorn", "uvloop", "starlette", "httpx", "aiohttp"),
}
PURE_EXCEPTIONS = {"handshake": {"http", "urllib"}}
"""Status numbers and the splitting of an origin: values, no I/O."""
MAX_LINES = 300


def modules(package: str) -> Iterator[Path]:
    for path in sorted((ROOT / package).rglob("*.py")):
        if "__pycache__" not in path.parts:
            yield path


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


ALL = [path for package in PACKAGES for path in modules(package)]
each_module = pytest.mark.parametrize("path", ALL, ids=name_of)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Whole dotted names that a module imports, also inside functions and for types only."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: imports say the whole name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def test_there_is_something_to_check() -> None:
    assert all(any(modules(package)) for package in PACKAGES)
    assert {path.stem for path in modules("server")} >= set(PURE_SERVER)


@each_module
def test_a_package_imports_only_its_own_floor_and_those_below(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert tops(path) & {*PACKAGES, "tests"} <= MAY_IMPORT[package]


def test_nothing_but_tests_imports_the_server() -> None:
    for path in ROOT.rglob("*.py"):
        top = path.relative_to(ROOT).parts[0]
        if top not in ("server", "tests") and not top.startswith(".") and top != "build":
            assert "server" not in tops(path), name_of(path)


@pytest.mark.parametrize(
    "path",
    [*modules("protocol"), *(ROOT / "server" / f"{name}.py" for name in PURE_SERVER)],
    ids=name_of,
)
def test_a_pure_module_knows_no_loop_no_socket_no_clock_and_no_driver(path: Path) -> None:
    assert tops(path) & SHELL <= PURE_EXCEPTIONS.get(path.stem, set())
    assert not {name for name in imported(path) if name.startswith(("websockets.sync", "websockets.asyncio"))}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("now", "utcnow", "today") or not _is_a_clock(node.value), name_of(path)
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), name_of(path)


def _is_a_clock(value: ast.expr) -> bool:
    return isinstance(value, ast.Name | ast.Attribute) and ast.unparse(value).split(".")[-1] in (
        "datetime",
        "date",
    )


@each_module
def test_a_module_opens_with_its_law(path: Path) -> None:
    law = ast.get_docstring(tree_of(path))
    assert law, name_of(path)
    assert len(law.splitlines()[0]) > 15


@each_module
def test_a_module_holds_one_idea(path: Path) -> None:
    if "versions" not in path.parts:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert not re.search(r"(^|_)(utils?|managers?|helpers?|common|misc)($|_)", path.stem)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = re.findall(r"[A-Z]?[a-z]+", node.name)
            assert not {word.lower() for word in words} & {"util", "utils", "manager", "helper", "common"}


@each_module
def test_sql_and_lua_live_in_their_own_files(path: Path) -> None:
    if "versions" in path.parts:
        return
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            assert not re.match(r"\s*(INSERT INTO|UPDATE \w+ SET|DELETE FROM|MERGE INTO)\b", node.value), (
                name_of(path)
            )
            assert "redis.call(" not in node.value, name_of(path)


# --- every file ------------------------------------------------------------------------------------

REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
        ("index", "docker", "io"),
        ("deb", "debian", "org"),
    )
]
PLACES = [
    "/" + "/".join(parts)
    for parts in (("work", "main"), ("work", "shared"), ("root", ""), ("tmp", ""), ("home", "user"))
]


def kept_files() -> list[Path]:
    """Files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_place_on_somebodys_machine() -> None:
    found = []
    for path in kept_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for word in (*REGISTRIES, *PLACES):
                if re.search(rf"(?<![\w.-]){re.escape(word)}", line):
                    found.append(f"{name_of(path)}:{number}: {word}")
    assert found == []
