"""An embedded Redis Cluster: masters, each with as many replicas as wanted, that fail over within seconds.

with RedisCluster(Path("data"), masters=3, replicas=1) as cluster:
    connect_redis(cluster.url)
    cluster.master_of("{s:1}:snap").kill()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from db.embedded.enclosure import Enclosure
from db.embedded.redis_group import RedisGroup, distinct_ports, tell
from db.embedded.server import Redis

SLOTS = 16_384
NODE_TIMEOUT_MS = 1_500
"""A node that is silent for so long is failed over."""

NODE_SETTINGS = """\
cluster-enabled yes
cluster-config-file nodes-{port}.conf
cluster-port {bus_port}
cluster-node-timeout {node_timeout_ms}
cluster-replica-validity-factor 0
cluster-announce-ip 127.0.0.1
masterauth {password}
repl-diskless-sync-delay 0
"""


class ClusterServer(Redis):
    """One node, a master or a replica."""

    name = "A Redis of the cluster"
    maxmemory_mb = 256
    bus_port = 0
    node_timeout_ms = NODE_TIMEOUT_MS

    def settings(self) -> str:
        return super().settings() + NODE_SETTINGS.format(
            port=self.port,
            bus_port=self.bus_port,
            password=self._password,
            node_timeout_ms=self.node_timeout_ms,
        )

    def ask(self, *command: object) -> object:
        """The answer to a command to this node."""
        with self.client() as client:
            return client.execute_command(*command)

    @property
    def node_id(self) -> str:
        return _text(self.ask("CLUSTER", "MYID"))


class RedisCluster(RedisGroup):
    """See the module. `nodes`: the first `masters` of them begin as masters."""

    def __init__(
        self, data_dir: Path, *, masters: int = 3, replicas: int = 0, say: Callable[[str], None] = tell
    ) -> None:
        super().__init__(data_dir, say=say)
        self._masters, self._replicas = masters, replicas
        self.nodes: list[ClusterServer] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://:{self.password}@{hosts}"

    def made(self, inside: Enclosure) -> Sequence[Redis]:
        number = self._masters * (1 + self._replicas)
        ports = distinct_ports(2 * number)
        self.nodes = []
        for port, bus_port in zip(ports[:number], ports[number:], strict=True):
            log = self.data_dir / f"redis-{len(self.nodes)}.log"
            node = ClusterServer(inside, port=port, password=self.password, log=log)
            node.bus_port, node.file = bus_port, f"redis-{port}.conf"
            self.nodes.append(node)
        return self.nodes

    def form(self) -> None:
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < self._masters:
                begin, end = (SLOTS * at // self._masters for at in (number, number + 1))
                node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
        for node in others:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        self._wait_until_all_know_all()
        for number, replica in enumerate(self.nodes[self._masters :]):
            replica.ask("CLUSTER", "REPLICATE", self.nodes[number % self._masters].node_id)

    def formed(self) -> bool:
        return all(self._is_well(node) for node in self.nodes if node.running)

    def master_of(self, key: str) -> ClusterServer:
        """The node that has the key's slot now, as a node that runs says. Raises `LookupError`."""
        asked = next(node for node in self.nodes if node.running)
        slot = asked.ask("CLUSTER", "KEYSLOT", key)
        for begin, end, master, *_ in asked.ask("CLUSTER", "SLOTS"):  # type: ignore[attr-defined]
            if begin <= slot <= end:
                return next(node for node in self.nodes if node.port == master[1])
        raise LookupError("no node has the key's slot")

    def flush(self) -> None:
        """Every master forgets everything."""
        for node in self.nodes:
            if node.running:
                try:
                    node.ask("FLUSHALL")
                except redis.ReadOnlyError:
                    continue  # a replica

    def _wait_until_all_know_all(self) -> None:
        def known() -> bool:
            want = f"cluster_known_nodes:{len(self.nodes)}"
            return all(want in _info(node) for node in self.nodes)

        self.await_true(known)

    def _is_well(self, node: ClusterServer) -> bool:
        if "cluster_state:ok" not in _info(node) or f"cluster_size:{self._masters}" not in _info(node):
            return False
        with node.client() as client:
            role = client.info("replication")
        if role["role"] == "slave":
            return bool(role["master_link_status"] == "up")
        return True


def _info(node: ClusterServer) -> str:
    with node.client() as client:
        answer = client.execute_command("CLUSTER", "INFO")
    return _text(answer)


def _text(answer: object) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)
