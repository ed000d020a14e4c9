"""The one way to Redis: one server, Sentinel, or Redis Cluster behind the same client.

Code uses what all of them have: single-key commands, scripts whose keys share a slot, pipelines without a
transaction. Whatever keeps the client from its servers is a `RedisError` or an `OSError`, also on a Cluster,
whose own errors are neither. No error and no repr holds a password.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urlencode

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ConstantBackoff, NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisClusterException, RedisError

from server.redis_url import SENTINEL_OPTIONS, Kind, RedisUrl, RedisUrlError, read_redis_url

CONNECT_S = 2
"""How long one node may take to accept a connection."""
CLUSTER_RETRIES = 3
RETRY_S = 0.1
"""A command on a Cluster is tried again so often, each time with a fresh map of its nodes."""

ONLY_SERVER = "the server"
"""The place of every channel where there is no Cluster."""

Made = tuple[Redis, Iterable[Redis]]
"""A client, and the clients of the Sentinels that it asks."""

_CLOSED = "the connection was closed"
_SCATTERED = "the cluster cannot be reached, or does not cover all slots"


class _Guarded:
    """Before a connection that may be closed while it is used, by the server or for another's failed command.

    redis-py and uvloop then say what no caller expects.
    """

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]
        except (RuntimeError, AttributeError):
            raise RedisAway(_CLOSED) from None

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except (RuntimeError, AttributeError):
            raise RedisAway(_CLOSED) from None


def _guarded(kind: Any) -> Any:
    """A connection class, guarded."""
    return type(kind.__name__, (_Guarded, kind), {})


class _Cluster(RedisCluster):
    """redis-py's client of a Cluster, with the errors of one server; no call does harm to another."""

    async def aclose(self) -> None:
        """redis-py calls this to read the map of slots anew. Others wait for answers: nothing is closed."""
        self._initialize = True

    async def end(self) -> None:
        """Closes all connections."""
        self._initialize = False
        await super().aclose()

    async def initialize(self, *args: Any, **kwargs: Any) -> RedisCluster:
        try:
            return await super().initialize(*args, **kwargs)
        except RedisClusterException:
            raise RedisAway(_SCATTERED) from None

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        await self.initialize()  # without a map redis-py would try any node
        try:
            return await super().execute_command(*args, **kwargs)
        except RedisClusterException:
            raise RedisAway(_SCATTERED) from None

    async def _determine_slot(self, command: str, *args: Any) -> int:
        """redis-py would ask a server for the keys of these, each time, and always the same one."""
        if command in ("XREAD", "XREADGROUP"):
            behind = args[args.index(b"STREAMS") + 1 :]
            (slot,) = {self.keyslot(key) for key in behind[: len(behind) // 2]}
            return slot
        return await super()._determine_slot(command, *args)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        return _Pipeline(self, transaction)  # type: ignore[abstract]  # as redis-py itself does


class _Pipeline(ClusterPipeline):
    """Without `raise_on_error` one node that is away is an error of its own commands only."""

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        commands = list(self._execution_strategy._command_queue)  # type: ignore[attr-defined]
        failure: Exception
        try:
            return await super().execute(raise_on_error, allow_redirections)
        except RedisClusterException:
            failure = RedisAway(_SCATTERED)
        except (RedisError, OSError) as error:
            failure = error
        if raise_on_error:
            raise failure from None
        return [failure if command.result is None else command.result for command in commands]


class RedisLink:
    """A client, and where its channels live. Made by `connect_redis`."""

    def __init__(self, client: Redis, *, kind: Kind, sentinels: Iterable[Redis] = ()) -> None:
        self.client = client
        """redis-py's asyncio client. On a Cluster it is `RedisCluster`, which answers the same calls."""
        self.is_cluster = kind is Kind.CLUSTER
        self.kind = kind
        self._sentinels = sentinels

    def __repr__(self) -> str:
        return f"RedisLink({self.kind.value})"

    async def aclose(self) -> None:
        """Closes all connections."""
        if self.is_cluster:
            await cast(_Cluster, self.client).end()
            return
        for client in (self.client, *self._sentinels):
            await client.aclose()

    def publish(self, target: Any, channel: str, data: bytes) -> Any:
        """Queues a message on a pipeline; of a client, answers the awaitable that sends it."""
        return target.spublish(channel, data) if self.is_cluster else target.publish(channel, data)

    # --- where channels live ----------------------------------------------------------------------------

    def place(self, channel: str) -> str | None:
        """The node that has the channel's slot, as far as known; not known: `None`."""
        if not self.is_cluster:
            return ONLY_SERVER
        nodes = self._cluster.nodes_manager.slots_cache.get(key_slot(channel.encode()))
        return nodes[0].name if nodes else None

    async def refresh(self) -> None:
        """Asks the cluster which node has which slot. Raises `RedisError` or `OSError`."""
        if not self.is_cluster:
            return
        await self._cluster.initialize()
        try:
            await self._cluster.nodes_manager.initialize()
        except RedisClusterException:
            raise RedisAway(_SCATTERED) from None

    def connection(self, place: str) -> AbstractConnection:
        """A connection of its own to a place, not connected yet. Raises `RedisError`: no such node any more.

        It speaks RESP2, in which every message is a list, and tries nothing again by itself.
        """
        if self.is_cluster:
            node = self._cluster.get_node(node_name=place)
            if node is None:
                raise RedisAway("the node has left the cluster")
            kind: type[AbstractConnection] = node.connection_class
            options = node.connection_kwargs
        else:
            pool = self.client.connection_pool
            kind, options = pool.connection_class, pool.connection_kwargs
        own = {name: value for name, value in options.items() if "maint_notifications" not in name}
        connection: AbstractConnection = kind(**own | {"protocol": 2, "retry": Retry(NoBackoff(), 0)})
        return connection

    @property
    def _cluster(self) -> RedisCluster:
        return cast(RedisCluster, self.client)


def connect_redis(url: str, *, socket_timeout: float = 5) -> RedisLink:
    """The link to what `url` names; it connects with the first command. Raises `RedisUrlError`, one line."""
    parts = read_redis_url(url)
    try:
        client, sentinels = _MAKERS[parts.kind](parts, socket_timeout)
    except (TypeError, ValueError):  # its text may repeat what the URL holds
        raise RedisUrlError("its options are not what redis-py takes") from None
    return RedisLink(client, kind=parts.kind, sentinels=sentinels)


def _server(url: RedisUrl, socket_timeout: float) -> Made:
    client = Redis.from_url(url.text, socket_timeout=socket_timeout, socket_connect_timeout=CONNECT_S)
    _guard_pool(client)
    return client, ()


def _sentinel(url: RedisUrl, socket_timeout: float) -> Made:
    once = Retry(NoBackoff(), 0)  # as for one server: who asks knows best when to ask again
    times = {"socket_timeout": socket_timeout, "socket_connect_timeout": CONNECT_S, "retry": once}
    tls = {"ssl": True} if url.tls else {}
    options = _options(url)
    own = {name.removeprefix("sentinel_"): options.pop(name, None) for name in SENTINEL_OPTIONS}
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        url.hosts,
        # A Sentinel that hangs holds up the others' answers.
        sentinel_kwargs={**own, **options, **tls, **times, "socket_timeout": CONNECT_S},
        username=url.username,
        password=url.password,
        db=url.database,
        **options,
        **tls,
        **times,
    )
    client = cast(Redis, sentinels.master_for(url.master))
    for one in (client, *sentinels.sentinels):
        _guard_pool(one)
    return client, sentinels.sentinels


def _cluster(url: RedisUrl, socket_timeout: float) -> Made:
    client = _Cluster(
        startup_nodes=[ClusterNode(host, port) for host, port in url.hosts],
        username=url.username,
        password=url.password,
        ssl=url.tls,
        retry=Retry(ConstantBackoff(RETRY_S), CLUSTER_RETRIES),
        socket_timeout=socket_timeout,
        socket_connect_timeout=CONNECT_S,
        **_options(url),
    )
    guarded = _guarded(client.connection_kwargs["connection_class"])
    client.connection_kwargs["connection_class"] = guarded  # of the nodes that will be found
    for node in client.startup_nodes:
        node.connection_class = guarded
    return cast(Redis, client), ()


def _guard_pool(client: Redis) -> None:
    pool = client.connection_pool
    pool.connection_class = _guarded(pool.connection_class)


def _options(url: RedisUrl) -> dict[str, Any]:
    """The query's options with the types that redis-py gives them."""
    found: dict[str, Any] = dict(parse_url(f"redis://localhost/?{urlencode(url.options)}"))
    return {name: value for name, value in found.items() if name not in ("host", "port", "db")}


_MAKERS = {Kind.SERVER: _server, Kind.SENTINEL: _sentinel, Kind.CLUSTER: _cluster}
