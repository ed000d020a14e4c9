"""The embedded Cluster and Sentinels: servers that form a group, come back to it, and leave nobody behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from db.embedded import RedisCluster, RedisSentinels, StackBusy
from db.embedded.redis_group import RedisGroup
from tests.db.test_embedded import until_nobody


def until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_cluster_is_whole_when_it_is_started(redis_cluster: RedisCluster) -> None:
    for node in redis_cluster.nodes:
        info = bytes(node.ask("CLUSTER", "INFO"))  # type: ignore[call-overload]
        assert b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info
    owners = {redis_cluster.master_of(f"batch:{shard}").port for shard in range(8)}
    assert 1 < len(owners) <= 3, "nothing is tested by keys that all lie on one node"


@pytest.mark.parametrize("make", [RedisCluster, RedisSentinels])
def test_nobody_is_left(make: Callable[[Path], RedisGroup], tmp_path: Path) -> None:
    group = make(tmp_path / "group")
    group.start()
    with pytest.raises(StackBusy):
        make(tmp_path / "group").start()
    assert all(server.running for server in group.servers)
    group.stop()
    group.stop()
    until_nobody(tmp_path / "group")
    group.start()  # formed anew
    group.stop()
    until_nobody(tmp_path / "group")


@pytest.mark.slow
def test_a_replica_takes_over_and_the_dead_master_comes_back_to_it(tmp_path: Path) -> None:
    with RedisCluster(tmp_path / "cluster", replicas=1) as cluster:
        master = cluster.master_of("control")
        master.ask("SET", "{control}:x", "1")
        master.ask("WAIT", 1, 10_000)
        master.kill()
        until(lambda: cluster.master_of("control") is not master)
        cluster.await_formed()
        assert cluster.master_of("control").ask("GET", "{control}:x") == b"1"
        master.start()
        cluster.await_formed()
        assert cluster.master_of("control") is not master


@pytest.mark.slow
def test_sentinels_agree_on_a_new_master(tmp_path: Path) -> None:
    with RedisSentinels(tmp_path / "sentinels") as sentinels:
        master = sentinels.master
        assert master.is_master
        master.kill()
        until(lambda: sentinels.master is not master)
        master.start()
        sentinels.await_formed()
        until(lambda: [one.is_master for one in sentinels.replicated].count(True) == 1)
        assert not master.is_master
