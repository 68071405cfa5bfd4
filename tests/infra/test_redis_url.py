"""The forms of a Redis URL, taken apart and printed."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from redis.connection import parse_url

from infra.services import RedisAddress
from infra.settings.redis_url import read_redis_url

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z]{2,5})?", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda ip: f"[{ip.compressed}]"))
NODES = st.lists(st.tuples(HOSTS, st.none() | st.integers(1, 65_535)), min_size=1, max_size=4)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
ACCOUNTS = st.none() | st.tuples(st.just("") | WORDS, WORDS)


def written(nodes: list[tuple[str, int | None]], account: tuple[str, str] | None) -> str:
    user = f"{quote(account[0], safe='')}:{quote(account[1], safe='')}@" if account else ""
    return user + ",".join(host if port is None else f"{host}:{port}" for host, port in nodes)


def nodes_of(nodes: list[tuple[str, int | None]], port: int) -> tuple[tuple[str, int], ...]:
    return tuple((host.strip("[]"), own or port) for host, own in nodes)


@given(NODES, ACCOUNTS, st.booleans(), st.sampled_from(["", "/", "/0", "?protocol=3"]))
def test_a_cluster(
    nodes: list[tuple[str, int | None]], account: tuple[str, str] | None, tls: bool, ending: str
) -> None:
    found = read_redis_url(f"redis{'s' * tls}+cluster://{written(nodes, account)}{ending}")
    assert (found.kind, found.nodes, found.has_tls) == ("cluster", nodes_of(nodes, 6379), tls)
    options = parse_url(found.plain)
    assert (options.get("username", ""), options.get("password")) == (account or ("", None))
    assert options.get("protocol") == ("3" if "protocol" in ending else None) and options["db"] == 0


@given(NODES, ACCOUNTS, WORDS, st.none() | st.integers(0, 15))
def test_sentinels(
    nodes: list[tuple[str, int | None]], account: tuple[str, str] | None, primary: str, database: int | None
) -> None:
    path = quote(primary, safe="") + ("" if database is None else f"/{database}")
    found = read_redis_url(f"redis+sentinel://{written(nodes, account)}/{path}")
    assert (found.kind, found.nodes, found.primary) == ("sentinel", nodes_of(nodes, 26_379), primary)
    options = parse_url(found.plain)
    assert options["db"] == (database or 0) and options.get("password") == (account[1] if account else None)


@given(st.text(max_size=40), st.sampled_from(["", "redis://", "redis+cluster://", "rediss+sentinel://", "unix://"]))
def test_any_text_is_read_or_refused_in_words(text: str, scheme: str) -> None:
    try:
        found = read_redis_url(scheme + text)
    except ValueError as error:
        assert "write" in str(error) or "leave out" in str(error) or "after the sentinels" in str(error)
    else:
        assert found.kind in ("single", "cluster", "sentinel")


@given(NODES, st.tuples(WORDS, st.just("the-password")))
def test_printing_it_shows_no_password(nodes: list[tuple[str, int | None]], account: tuple[str, str]) -> None:
    address = RedisAddress(
        f"redis+cluster://{written(nodes, account)}?password=the-password", sentinel_password="the-password"
    )
    assert "the-password" not in f"{address} {address!r}"
    assert str(address) == f"redis+cluster://{written(nodes, None)}"
