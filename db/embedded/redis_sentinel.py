"""An embedded Redis with replicas, and three Sentinels that make one of them the master when it dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from db.embedded.enclosure import Enclosure
from db.embedded.redis_group import RedisGroup, distinct_ports, tell
from db.embedded.server import Redis

MASTER = "partyline"
REPLICAS = 2
SENTINELS = 3
DOWN_AFTER_MS = 1_000

REPLICATED_SETTINGS = """\
masterauth {password}
repl-diskless-sync-delay 0
# A master that is cut off must not go on giving leases.
min-replicas-to-write 1
min-replicas-max-lag 2
"""

SENTINEL_SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir /data/redis
sentinel monitor {master} 127.0.0.1 {master_port} 2
sentinel auth-pass {master} {password}
sentinel sentinel-pass {password}
sentinel down-after-milliseconds {master} {down_after_ms}
sentinel failover-timeout {master} 3000
"""


class ReplicatedServer(Redis):
    """The first master, or a replica of it; what it is later the Sentinels decide."""

    name = "A Redis behind Sentinels"
    master_port = 0

    def settings(self) -> str:
        text = super().settings() + REPLICATED_SETTINGS.format(password=self._password)
        return text + (f"replicaof 127.0.0.1 {self.master_port}\n" if self.master_port else "")

    @property
    def is_master(self) -> bool:
        with self.client() as client:
            return bool(client.info("replication")["role"] == "master")


class SentinelServer(Redis):
    """One Sentinel."""

    name = "A Sentinel"
    master_port = 0

    def settings(self) -> str:
        return SENTINEL_SETTINGS.format(
            port=self.port,
            password=self._password,
            master=MASTER,
            master_port=self.master_port,
            down_after_ms=DOWN_AFTER_MS,
        )

    def arguments(self) -> list[str]:
        return ["--sentinel"]


class RedisSentinels(RedisGroup):
    """See the module. `replicated`: the first master and its replicas."""

    def __init__(self, data_dir: Path, *, say: Callable[[str], None] = tell) -> None:
        super().__init__(data_dir, say=say)
        self.replicated: list[ReplicatedServer] = []
        self.sentinels: list[SentinelServer] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://:{self.password}@{hosts}/{MASTER}?sentinel_password={self.password}"

    @property
    def master(self) -> ReplicatedServer:
        """Who is the master now, as the Sentinels say."""
        sentinel = next(one for one in self.sentinels if one.running)
        with sentinel.client() as client:
            _, port = client.sentinel_get_master_addr_by_name(MASTER)
        return next(one for one in self.replicated if one.port == port)

    def made(self, inside: Enclosure) -> Sequence[Redis]:
        first, *others = distinct_ports(1 + REPLICAS + SENTINELS)

        def log(name: str) -> Path:
            return self.data_dir / f"{name}.log"

        self.replicated = [
            ReplicatedServer(inside, port=port, password=self.password, log=log(f"redis-{port}"))
            for port in (first, *others[:REPLICAS])
        ]
        for replica in self.replicated[1:]:
            replica.master_port = first
        self.sentinels = [
            SentinelServer(inside, port=port, password=self.password, log=log(f"sentinel-{port}"))
            for port in others[REPLICAS:]
        ]
        for sentinel in self.sentinels:
            sentinel.master_port = first
        servers: list[Redis] = [*self.replicated, *self.sentinels]
        for server in servers:
            server.file = f"redis-{server.port}.conf"
        return servers

    def form(self) -> None:
        """They find each other through the master."""

    def formed(self) -> bool:
        with self.master.client() as client:
            if not client.info("replication").get("min_slaves_good_slaves"):
                return False
        return all(self._knows_all(sentinel) for sentinel in self.sentinels if sentinel.running)

    def _knows_all(self, sentinel: SentinelServer) -> bool:
        with sentinel.client() as client:
            known = client.info("sentinel")["master0"]
        return (known["status"], known["slaves"], known["sentinels"]) == ("ok", REPLICAS, SENTINELS)
