"""The embedded stack: real PostgreSQL and Redis in a private root, for `partyline up` and for the tests."""

from db.embedded.errors import StackBusy, StackError, StackFailed, StackUnavailable
from db.embedded.redis_cluster import RedisCluster
from db.embedded.redis_sentinel import RedisSentinels
from db.embedded.stack import Stack

__all__ = [
    "RedisCluster",
    "RedisSentinels",
    "Stack",
    "StackBusy",
    "StackError",
    "StackFailed",
    "StackUnavailable",
]
