"""The embedded stack: real servers that keep their data, start again, and never outlive their parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from db.embedded import Stack, StackBusy, StackFailed, StackUnavailable
from db.embedded.enclosure import SERVER_UID
from db.embedded.root import place
from tests.conftest import NATIVE, NamedServers

REPOSITORY = Path(__file__).parents[2]


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def tell(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def processes_of(data_dir: Path) -> list[int]:
    """Every process that holds the directory's lock file open: the parent, the wardens, and the servers."""
    lock = os.stat(data_dir / "lock")
    holders = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = [os.stat(fd) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        if any((file.st_dev, file.st_ino) == (lock.st_dev, lock.st_ino) for file in held):
            holders.append(int(process.name))
    return holders


def until_nobody(data_dir: Path) -> None:
    give_up = time.monotonic() + 60
    while (left := processes_of(data_dir)) and time.monotonic() < give_up:
        time.sleep(0.02)
    assert left == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack for the tests that only look at it."""
    with Stack(tmp_path_factory.mktemp("shared") / "data") as embedded:
        yield embedded


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs a stack on `tmp_path / "theirs"`, and has said so."""
    code = (
        "import sys, time; from pathlib import Path; from db.embedded import Stack\n"
        "with Stack(Path(sys.argv[1])): print('running', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "theirs")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        yield process
        process.kill()


class TestServers:
    @pytest.mark.parametrize(
        ("name", "version"),
        [("timescaledb", "2."), ("postgis", "3."), ("vector", "0."), ("pg_partman", "5."), ("pg_trgm", "1.")],
    )
    def test_the_extensions_can_be_created(self, database: str, name: str, version: str) -> None:
        tell(database, f"CREATE EXTENSION {name}")
        assert str(ask(database, f"SELECT extversion FROM pg_extension WHERE extname = '{name}'")).startswith(
            version
        )

    def test_a_point_and_a_hypertable_work(self, database: str) -> None:
        tell(database, "CREATE EXTENSION timescaledb")
        tell(database, "CREATE EXTENSION postgis")
        tell(database, "CREATE TABLE seen (at timestamptz NOT NULL, loc geometry(Point, 4326))")
        tell(database, "SELECT create_hypertable('seen', by_range('at', interval '1 day'))")
        tell(database, "INSERT INTO seen VALUES (now(), ST_SetSRID(ST_MakePoint(1, 2), 4326))")
        assert ask(
            database, "SELECT ST_X(ST_Transform(ST_Transform(loc, 3857), 4326)) FROM seen"
        ) == pytest.approx(1)
        assert ask(database, "SELECT count(*) FROM show_chunks('seen')") == 1

    def test_what_is_committed_is_on_the_disk(self, shared: Stack) -> None:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert ask(shared.database_url, f"SHOW {setting}") == "on", setting

    def test_the_text_and_the_clock_are_the_same_everywhere(self, shared: Stack) -> None:
        url = shared.database_url
        assert ask(url, "SHOW server_encoding") == "UTF8"
        assert ask(url, "SHOW timezone") == "UTC"
        collation = "SELECT datcollate || ' ' || datctype FROM pg_database WHERE datname = current_database()"
        assert ask(url, collation) == "C.UTF-8 C.UTF-8"

    def test_redis_is_bounded_keeps_nothing_and_evicts_nothing(self, shared: Stack) -> None:
        with redis.Redis.from_url(shared.redis_url) as client:
            settings = client.config_get("*")
        assert int(settings["maxmemory"]) > 0
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["save"] == ""
        assert settings["appendonly"] == "no"

    def test_a_fresh_database_is_empty(self, database: str) -> None:
        assert ask(database, "SELECT string_agg(extname, ' ') FROM pg_extension") == "plpgsql"

    @pytest.mark.parametrize("turn", [1, 2])
    def test_a_migrated_database_is_a_test_s_own(self, migrated_database: str, turn: int) -> None:
        assert ask(migrated_database, "SELECT count(*) FROM users") == 0
        assert ask(migrated_database, "SELECT positions_kind()") == ("native" if NATIVE else "hypertable")
        tell(migrated_database, "INSERT INTO users DEFAULT VALUES")
        tell(migrated_database, f"CREATE TABLE turn_{turn} ()")

    def test_redis_is_emptied_for_each_test(self, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0


class TestPrivacy:
    def test_nobody_gets_in_without_the_password(self, shared: Stack) -> None:
        wrong = f"postgresql://postgres:wrong@127.0.0.1:{shared.postgres.port}/partyline"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        with redis.Redis(port=shared.redis.port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()

    def test_only_this_machine_is_listened_to(self, shared: Stack) -> None:
        assert ask(shared.database_url, "SHOW listen_addresses") == "127.0.0.1"
        with redis.Redis.from_url(shared.redis_url) as client:
            assert client.config_get("bind") == {"bind": "127.0.0.1"}

    def test_the_passwords_are_for_the_owner_and_not_in_sight(self, shared: Stack) -> None:
        secrets_file = shared.data_dir / "secrets.json"
        assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(shared.data_dir.stat().st_mode) == 0o700
        passwords = json.loads(secrets_file.read_text()).values()
        seen = repr(vars(shared)) + repr(vars(shared.postgres).keys())
        for pid in processes_of(shared.data_dir):
            seen += Path(f"/proc/{pid}/cmdline").read_text()
            if pid != os.getpid():
                seen += Path(f"/proc/{pid}/environ").read_text()
        for log in shared.data_dir.glob("*.log"):
            seen += log.read_text()
        assert not [password for password in passwords if password in seen]

    def test_no_statement_row_or_parameter_gets_into_the_log(self, own_stack: Stack) -> None:
        url = own_stack.database_url
        tell(url, "CREATE TABLE held (place text PRIMARY KEY, CHECK (place <> 'x'))")
        tell(url, "INSERT INTO held VALUES ('37.774912')")
        for statement in (
            "INSERT INTO held VALUES ('37.774912')",
            "SELECT '37.774912'::integer",
            "SELECT 37.774912 FROM nowhere",
            "DO $$ BEGIN RAISE WARNING '37.774912'; RAISE EXCEPTION '37.774912'; END $$",
        ):
            with pytest.raises(psycopg.Error):
                tell(url, statement)
        with psycopg.connect(url) as connection, pytest.raises(psycopg.Error):
            connection.execute("SELECT %s::text::integer", ["37.774912"])
        with psycopg.connect(url) as connection, connection.cursor() as cursor:  # noqa: SIM117
            with pytest.raises(psycopg.Error), cursor.copy("COPY held FROM STDIN") as copy:
                copy.write("37.774912\n")
        own_stack.stop()
        log = (own_stack.data_dir / "postgres.log").read_text()
        assert "ready to accept connections" in log
        assert "37.774912" not in log


class TestLife:
    def test_the_data_the_passwords_and_the_ports_stay(self, tmp_path: Path) -> None:
        stack = Stack(tmp_path / "data")
        stack.start()
        before = (stack.database_url, stack.redis_url)
        tell(stack.database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        stack.stop()
        with Stack(tmp_path / "data") as again:
            assert (again.database_url, again.redis_url) == before
            assert ask(again.database_url, "SELECT number FROM kept") == 7

    def test_a_port_that_somebody_took_is_given_up(self, tmp_path: Path) -> None:
        with Stack(tmp_path / "data") as stack:
            taken = stack.redis.port
        with socket.create_server(("127.0.0.1", taken)), Stack(tmp_path / "data") as stack:
            assert stack.redis.port != taken
            with redis.Redis.from_url(stack.redis_url) as client:
                assert client.ping()

    def test_two_stacks_run_side_by_side(self, own_stack: Stack, tmp_path: Path) -> None:
        with Stack(tmp_path / "other") as other:
            tell(own_stack.database_url, "CREATE TABLE mine AS SELECT 1")
            assert ask(other.database_url, "SELECT to_regclass('mine')") is None
            ports = {own_stack.postgres.port, own_stack.redis.port, other.postgres.port, other.redis.port}
            assert len(ports) == 4

    def test_one_directory_has_one_stack(self, shared: Stack) -> None:
        with pytest.raises(StackBusy, match=f"process {os.getpid()}.*--data-dir"):
            Stack(shared.data_dir).start()
        assert ask(shared.database_url, "SELECT 1") == 1

    def test_a_killed_postgres_comes_back_with_its_data_on_its_port(self, own_stack: Stack) -> None:
        url, first = own_stack.database_url, own_stack.postgres.pid
        tell(url, "CREATE TABLE kept AS SELECT 7 AS number")
        own_stack.postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        own_stack.postgres.start()
        assert own_stack.postgres.pid != first
        assert ask(url, "SELECT number FROM kept") == 7
        assert own_stack.database_url == url

    def test_a_killed_redis_comes_back_empty_on_its_port(self, own_stack: Stack) -> None:
        url = own_stack.redis_url
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
        own_stack.redis.kill()
        own_stack.redis.start()
        assert own_stack.redis_url == url
        with redis.Redis.from_url(url) as client:
            assert client.dbsize() == 0

    def test_a_stopped_redis_comes_back_empty_too(self, own_stack: Stack) -> None:
        with redis.Redis.from_url(own_stack.redis_url) as client:
            client.set("key", "value")
        own_stack.redis.stop()
        own_stack.redis.start()
        with redis.Redis.from_url(own_stack.redis_url) as client:
            assert client.dbsize() == 0

    def test_the_pid_is_the_servers_own(self, shared: Stack) -> None:
        assert Path(f"/proc/{shared.postgres.pid}/comm").read_text() == "postgres\n"
        assert Path(f"/proc/{shared.redis.pid}/comm").read_text() == "redis-server\n"

    def test_a_server_that_is_not_there_has_no_pid(self, own_stack: Stack) -> None:
        own_stack.postgres.kill()
        with pytest.raises(StackFailed, match="PostgreSQL is not running"):
            _ = own_stack.postgres.pid

    def test_stop_is_safe_before_a_start_twice_and_after_a_kill(self, tmp_path: Path) -> None:
        stack = Stack(tmp_path / "data")
        stack.stop()
        stack.start()
        stack.start()
        stack.postgres.kill()
        stack.postgres.kill()
        stack.redis.stop()
        stack.stop()
        stack.stop()
        assert processes_of(stack.data_dir) == []
        stack.start()
        assert ask(stack.database_url, "SELECT 1") == 1
        stack.stop()
        assert processes_of(stack.data_dir) == []

    @pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.2, 0.4])
    def test_stop_in_the_middle_of_a_start_leaves_nothing(self, tmp_path: Path, after_s: float) -> None:
        stack = Stack(tmp_path / "data")
        failures: list[StackFailed] = []

        def start() -> None:
            try:
                stack.start()
            except StackFailed as failure:
                failures.append(failure)

        thread = threading.Thread(target=start)
        thread.start()
        time.sleep(after_s)
        stack.stop()
        thread.join()
        stack.stop()
        assert not (stack.data_dir / "lock").exists() or processes_of(stack.data_dir) == []
        with stack:
            assert ask(stack.database_url, "SELECT 1") == 1

    def test_stop_by_a_signal_in_the_middle_of_a_start_leaves_nothing(self, tmp_path: Path) -> None:
        stack = Stack(tmp_path / "data")
        with stack:
            pass
        before = signal.signal(signal.SIGALRM, lambda *_: stack.stop())
        stopped = 0
        try:
            for step in range(1, 15):
                signal.setitimer(signal.ITIMER_REAL, step * 0.01)
                try:
                    stack.start()
                except (StackFailed, OSError):
                    stopped += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                stack.stop()
                assert processes_of(stack.data_dir) == [], step
        finally:
            signal.signal(signal.SIGALRM, before)
        assert stopped > 0
        with stack:
            assert ask(stack.database_url, "SELECT 1") == 1

    def test_a_thread_that_ends_takes_nothing_with_it(self, tmp_path: Path) -> None:
        stack = Stack(tmp_path / "data")
        thread = threading.Thread(target=stack.start)
        thread.start()
        thread.join()
        time.sleep(0.3)
        assert ask(stack.database_url, "SELECT 1") == 1
        stack.stop()

    def test_nothing_stays_mounted(self, shared: Stack) -> None:
        assert str(place()) not in Path("/proc/self/mounts").read_text()


class TestDeath:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_the_servers_end_with_their_parent(
        self, parent: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
    ) -> None:
        assert len(processes_of(tmp_path / "theirs")) > 3
        parent.send_signal(number)
        until_nobody(tmp_path / "theirs")

    def test_the_next_stack_waits_for_them(self, parent: subprocess.Popen[str], tmp_path: Path) -> None:
        parent.kill()
        parent.wait()
        with Stack(tmp_path / "theirs") as next_one:
            assert ask(next_one.database_url, "SELECT 1") == 1

    def test_a_living_parent_keeps_its_directory(self, parent: subprocess.Popen[str], tmp_path: Path) -> None:
        with pytest.raises(StackBusy, match=f"process {parent.pid}"):
            Stack(tmp_path / "theirs").start()

    def test_killing_parent_and_wardens_at_once_leaves_nothing(
        self, parent: subprocess.Popen[str], tmp_path: Path
    ) -> None:
        everything = processes_of(tmp_path / "theirs")
        wardens = [pid for pid in everything if "warden.py" in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(wardens) == 2
        for pid in wardens:
            os.kill(pid, signal.SIGKILL)
        parent.kill()
        until_nobody(tmp_path / "theirs")

    def test_a_pid_file_of_somebody_else_is_no_obstacle(self, shared: Stack, tmp_path: Path) -> None:
        """After a crash of the machine the pid in it may be any process, also one of the servers' own user."""
        with Stack(tmp_path / "data") as stack:
            left = (stack.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
        pid_file = tmp_path / "data" / "postgres" / "postmaster.pid"
        pid_file.write_text("\n".join([str(shared.postgres.pid), *left[1:]]) + "\n")
        if os.geteuid() == 0:
            os.chown(pid_file, SERVER_UID, SERVER_UID)
        with Stack(tmp_path / "data") as stack:
            assert ask(stack.database_url, "SELECT 1") == 1

    def test_a_backend_that_hangs_is_gone_before_the_next_start(self, own_stack: Stack) -> None:
        with psycopg.connect(own_stack.database_url) as connection:
            backend = connection.info.backend_pid
            os.kill(backend, signal.SIGSTOP)
            own_stack.postgres.kill()
            assert not Path(f"/proc/{backend}").exists()
        own_stack.postgres.start()
        assert ask(own_stack.database_url, "SELECT 1") == 1


class TestWhatItSays:
    def test_without_mmdebstrap_the_ways_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        with pytest.raises(StackUnavailable) as raised:
            Stack(tmp_path / "data").start()
        message = str(raised.value)
        assert "\n" not in message
        for way in (
            "apt-get install mmdebstrap",
            "compose.yaml",
            "PARTYLINE_DATABASE_URL",
            "PARTYLINE_REDIS_URL",
        ):
            assert way in message
        assert not (tmp_path / "data").exists()

    def test_before_the_start_there_is_no_url(self, tmp_path: Path) -> None:
        with pytest.raises(StackFailed, match="not started"):
            _ = Stack(tmp_path).database_url

    def test_damaged_secrets_are_named_and_left_alone(self, tmp_path: Path) -> None:
        with Stack(tmp_path / "data"):
            pass
        (tmp_path / "data" / "secrets.json").write_text("{")
        with pytest.raises(StackFailed, match=r"secrets\.json is damaged"):
            Stack(tmp_path / "data").start()
        assert (tmp_path / "data" / "secrets.json").read_text() == "{"

    def test_a_server_that_cannot_start_names_its_log(self, tmp_path: Path) -> None:
        with Stack(tmp_path / "data"):
            pass
        (tmp_path / "data" / "postgres" / "PG_VERSION").write_text("9.0\n")
        stack = Stack(tmp_path / "data")
        with pytest.raises(StackFailed, match=r"PostgreSQL ended .*postgres\.log"):
            stack.start()
        assert processes_of(stack.data_dir) == []

    def test_a_directory_that_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StackFailed, match=r"data directory .*file cannot be used"):
            Stack(tmp_path / "file").start()

    def test_a_directory_that_was_there_keeps_its_mode(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        with Stack(tmp_path):
            pass
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_build_leaves_nothing_and_two_processes_build_once(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code = (
        "import sys; from pathlib import Path; from db.embedded import Stack\n"
        "with Stack(Path(sys.argv[1])) as s: print('running')\n"
    )

    def begin(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / name)],
            env=environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    cache = tmp_path / "cache" / "partyline"
    with begin("killed") as killed:
        while not [made for new in cache.glob("*.new") for made in (new / "root").glob("*")]:
            time.sleep(0.02)
        killed.kill()
    assert not [found for found in cache.iterdir() if found.suffix not in (".new", ".lock")]
    with begin("one") as one, begin("two") as two:
        said = [process.communicate() for process in (one, two)]
    assert [out for out, _ in said] == ["running\n", "running\n"]
    assert sum("is built" in told for _, told in said) == 1
    assert {found.suffix for found in cache.iterdir()} == {"", ".lock"}


def test_named_servers_give_the_same_three_things() -> None:
    named = NamedServers("postgresql://me@db.example:5433/partyline?sslmode=require", "redis://cache.example")
    assert urlsplit(named.superuser_url("other")).path == "/other"
    assert named.superuser_url("other").startswith("postgresql://me@db.example:5433/other?sslmode=require")
