"""Redis by URL: which forms there are, what is said of wrong ones, and that a password stays where it is."""

from __future__ import annotations

import pytest
from redis.exceptions import RedisError

from server.redis_link import connect_redis
from server.redis_url import Kind, RedisUrlError, read_redis_url
from server.settings import SettingsError, read_settings

SECRET = "s3cr3t"
THREE = (("a", 1), ("b", 26379), ("::1", 3))


@pytest.mark.parametrize(
    ("text", "kind", "hosts", "master", "database", "tls"),
    [
        ("redis://127.0.0.1:6379/0", Kind.SERVER, (), "", 0, False),
        ("rediss://:s3cr3t@redis.example/1", Kind.SERVER, (), "", 0, True),
        ("unix:///run/redis.sock?db=1", Kind.SERVER, (), "", 0, False),
        ("redis+sentinel://:s3cr3t@a:1,b,[::1]:3/main/2", Kind.SENTINEL, THREE, "main", 2, False),
        ("rediss+sentinel://a/main", Kind.SENTINEL, (("a", 26379),), "main", 0, True),
        ("redis+cluster://me:s3cr3t@a:1,b", Kind.CLUSTER, (("a", 1), ("b", 6379)), "", 0, False),
        ("rediss+cluster://a:1/0", Kind.CLUSTER, (("a", 1),), "", 0, True),
    ],
)
def test_the_forms(
    text: str, kind: Kind, hosts: tuple[tuple[str, int], ...], master: str, database: int, tls: bool
) -> None:
    url = read_redis_url(text)
    assert (url.kind, url.hosts, url.master, url.database, url.tls) == (kind, hosts, master, database, tls)
    assert SECRET not in repr(url)
    assert read_settings({"PARTYLINE_REDIS_URL": text}).redis_url == text


def test_a_password_may_hold_anything_that_is_quoted() -> None:
    url = read_redis_url("redis+cluster://us%40er:p%2Fw%3A%2C%40@a:1,b:2")
    assert (url.username, url.password) == ("us@er", "p/w:,@")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://:s3cr3t@a", "redis+cluster://"),
        ("redis+shard://:s3cr3t@a", "redis+cluster://"),
        ("unix+cluster://:s3cr3t@a", "redis+cluster://"),
        ("redis://", "no host"),
        ("redis://:s3cr3t@a:b", "port is no number"),
        ("redis://:s3cr3t@a:1,b:2", "several hosts"),
        ("redis+cluster://:s3cr3t@", "host:port"),
        ("redis+cluster://:s3cr3t@a:1,,b:2", "host:port"),
        ("redis+cluster://:s3cr3t@a:1,b c:2", "host:port"),
        ("redis+cluster://:s3cr3t@a:99999", "65535"),
        ("redis+cluster://:s3cr3t@a:0", "65535"),
        ("redis+cluster://:s3cr3t@a:1/1", "database 0"),
        ("redis+cluster://:s3c#r3t@a:1", "%23"),
        ("redis+cluster://:s3c/r3t@a:1", "no path"),
        ("redis+cluster://:s3cr3t@a:1?password=s3cr3t", "query"),
        ("redis+cluster://:s3cr3t@[::1:1", "redis+cluster://"),
        ("redis+sentinel://:s3cr3t@a:1", "master's name"),
        ("redis+sentinel://:s3cr3t@a:1/main/x", "number"),
        ("redis+sentinel://:s3cr3t@a:1/main/0/more", "master's name"),
    ],
)
def test_a_wrong_url_is_one_line_without_the_password(text: str, says: str) -> None:
    for read in (read_redis_url, connect_redis):
        with pytest.raises(RedisUrlError) as raised:
            read(text)
        _is_one_line(str(raised.value), says)
    with pytest.raises(SettingsError) as wrong:
        read_settings({"PARTYLINE_REDIS_URL": text})
    _is_one_line(str(wrong.value), says)
    assert str(wrong.value).startswith("PARTYLINE_REDIS_URL: ")


def _is_one_line(text: str, says: str) -> None:
    assert says in text and "\n" not in text and "s3c" not in text


@pytest.mark.parametrize(
    "text",
    [
        "redis://:s3cr3t@127.0.0.1:1/0",
        "redis+sentinel://:s3cr3t@127.0.0.1:1/main?sentinel_password=s3cr3t",
        "redis+cluster://:s3cr3t@127.0.0.1:1",
        "rediss+cluster://:s3cr3t@127.0.0.1:1?ssl_cert_reqs=none",
        "rediss+sentinel://:s3cr3t@127.0.0.1:1/main?ssl_check_hostname=false",
    ],
)
async def test_nobody_there_is_a_redis_error_without_the_password(text: str) -> None:
    """Of a Cluster too, whose own errors are no `RedisError`."""
    link = connect_redis(text)
    assert link.is_cluster == ("cluster" in text)
    assert SECRET not in repr(link) + repr(link.client)
    pipeline = link.client.pipeline(transaction=False)
    pipeline.get("a")
    for ask in (link.client.get("a"), pipeline.execute()):
        with pytest.raises(RedisError) as raised:
            await ask
        assert SECRET not in repr(raised.value)
    if link.is_cluster:
        with pytest.raises(RedisError):
            await link.refresh()
    await link.aclose()


async def test_one_server(redis_url: str) -> None:
    link = connect_redis(redis_url, socket_timeout=3)
    await link.client.set("a", b"1")
    assert await link.client.get("a") == b"1"
    await link.aclose()
