"""The online store on a real Redis: what is served equals the offline latest, and its absence is noticed at once."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from feast.infra.online_stores.helpers import _mmh3
from pydantic import SecretStr

from features.store import (
    OnlineFeatures,
    OnlineStoreUnavailable,
    QueryFeatures,
    UserFeatures,
    materialize,
    point_in_time,
)
from features.store.definitions import views
from infra import services
from infra.contract.partitions import drop_partition
from infra.contract.tables import QUERY_FEATURES, USER_FEATURES, feature_names
from infra.services import RedisAddress, supervisor
from infra.services.redis import RedisServer
from infra.settings import OnlineSettings, Settings
from tests.features.feature_tables import START, Row, write
from tests.features.test_store_offline import entities

pytestmark = pytest.mark.server

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[2]
PASSWORD = "a,b@c=d"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path / "shop", online=OnlineSettings(timeout_ms=500))
    yield settings
    services.stop_all(settings)
    supervisor.leave_all()


@pytest.fixture
def redis_with_password(tmp_path: Path) -> Iterator[str]:
    """URL of a Redis of one's own, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "given").mkdir()
    program = RedisServer(tmp_path / "given").command()[0]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--dir", str(tmp_path)]
    server = subprocess.Popen([program, *options, "--save", ""], stdout=subprocess.DEVNULL)
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    try:
        while not answers(url):
            time.sleep(0.02)
        yield url
    finally:
        server.kill()
        server.wait()


def answers(url: str) -> bool:
    from redis.exceptions import ConnectionError as RedisConnectionError

    try:
        return bool(RedisAddress(url).connect(500).ping())
    except RedisConnectionError:
        return False


def numbers(online: OnlineFeatures, users: list[str], now: datetime) -> list[int | None]:
    return [found.requests_7d if found else None for found in online.users(users, now)]


def assert_online_equals_offline(settings: Settings, users: list[str], now: datetime) -> None:
    """All features of all users, as served and as joined."""
    offline = point_in_time(settings, entities("user_id", [(user, now) for user in users]), ["user"])
    names = [field.name for field in dataclasses.fields(UserFeatures)]
    joined = [
        {name: tuple(row[name]) if isinstance(row[name], list) else row[name] for name in names}
        for row in offline.to_pylist()
    ]
    served = [dataclasses.asdict(u) if u else dict.fromkeys(names) for u in OnlineFeatures(settings).users(users, now)]
    assert served == joined


def test_dataclasses_are_the_schemas() -> None:
    keys = {"user_id", "query", "event_timestamp", "created"}
    for kind, schema in ((UserFeatures, USER_FEATURES), (QueryFeatures, QUERY_FEATURES)):
        assert [f.name for f in dataclasses.fields(kind)] == [n for n in schema.names if n not in keys]


def test_days_in_order_then_an_older_day_again(settings: Settings) -> None:
    users = [f"u{i}" for i in range(40)]
    for day in range(3):
        write(
            settings, "user", day, [Row(u, START + DAY * day + HOUR, 10 * day + i) for i, u in enumerate(users[day:])]
        )
    write(settings, "query", 0, [Row("red shoes", START + HOUR, 7)])

    first = materialize(settings, START + DAY)
    assert first.rows == {"user": 40, "query": 1}
    assert first.views["user"].rebuilt
    assert_online_equals_offline(settings, [*users, "nobody"], START + DAY)

    online = OnlineFeatures(settings)
    second = materialize(settings, START + 3 * DAY)
    assert second.rows == {"user": 39, "query": 0}
    assert not second.views["user"].rebuilt
    assert second.views["user"].since == START + DAY
    assert_online_equals_offline(settings, users, START + 3 * DAY)

    # Day 2 comes again: other values for half of the users, at the same times; the rest had no row after all.
    write(settings, "user", 2, [Row(u, START + 2 * DAY + HOUR, 501) for u in users[:10]])
    # And day 0 loses a user, who is only there.
    write(settings, "user", 0, [Row(u, START + HOUR, 5) for u in users[1:]])
    repaired = materialize(settings, START + 3 * DAY)
    assert repaired.views["user"].rebuilt
    assert not repaired.views["query"].rebuilt
    assert_online_equals_offline(settings, users, START + 3 * DAY)
    assert numbers(online, ["u0", "u9", "u11"], START + 3 * DAY) == [501, 501, 20]
    drop_partition(views(settings)["user"].table, (START + 2 * DAY).date())
    assert materialize(settings, START + 3 * DAY).views["user"].removed == 1
    assert online.user("u0", START + 3 * DAY) is None
    assert_online_equals_offline(settings, users, START + 3 * DAY)

    request = online.request("u11", "red shoes", START + 3 * DAY)
    assert request.query == QueryFeatures(7, 7, 7)
    assert request.user is not None
    assert materialize(settings, START + 3 * DAY, since=START).views["query"].rebuilt


def test_day_before_the_last_is_not_a_step_back(settings: Settings) -> None:
    write(settings, "user", 1, [Row("u", START + DAY, 2)])
    materialize(settings, START + 2 * DAY)
    write(settings, "user", 0, [Row("u", START, 1), Row("other", START, 1)])
    report = materialize(settings, START + HOUR)
    assert report.until == START + 2 * DAY
    assert numbers(OnlineFeatures(settings), ["u", "other"], START + 2 * DAY) == [2, 1]


def test_rows_after_until_wait(settings: Settings) -> None:
    write(settings, "user", 0, [Row("u", START, 1), Row("u", START + 2 * HOUR, 2)])
    materialize(settings, START + HOUR)
    online = OnlineFeatures(settings)
    assert numbers(online, ["u"], START + HOUR) == [1]
    materialize(settings, START + 3 * HOUR)
    assert numbers(online, ["u"], START + 3 * HOUR) == [2]


def test_ttl_holds_online_as_offline(settings: Settings) -> None:
    write(settings, "user", 0, [Row("u", START, 3)])
    materialize(settings, START + HOUR)
    ttl = settings.features.user_ttl
    online = OnlineFeatures(settings)
    assert numbers(online, ["u"], START + ttl) == [3]
    assert numbers(online, ["u"], START + ttl + timedelta(microseconds=1)) == [None]
    for now in (START + ttl, START + ttl + timedelta(microseconds=1)):
        assert_online_equals_offline(settings, ["u"], now)


def test_unknown_user_and_known_user_without_values(settings: Settings) -> None:
    write(settings, "user", 0, [Row("quiet", START, 0), Row("blank", START, None)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    assert online.user("nobody", START) is None
    assert online.user("quiet", START) == UserFeatures()
    assert online.user("blank", START) == UserFeatures()


@pytest.mark.parametrize("name", ["order_history", "recent_brands", "clicks_7d"])
def test_a_feature_that_an_older_version_did_not_write_reads_as_empty(settings: Settings, name: str) -> None:
    write(settings, "user", 0, [Row("u", START, 3)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    whole = online.user("u", START)
    assert whole is not None and getattr(whole, name) != getattr(UserFeatures(), name)
    client = services.redis_address(settings).connect(500)
    assert sum(
        client.hdel(key, _mmh3(f"user_features:{name}")) for key in client.scan_iter() if client.type(key) == b"hash"
    )
    assert online.user("u", START) == dataclasses.replace(whole, **{name: getattr(UserFeatures(), name)})


def test_no_feature_rows_at_all(settings: Settings) -> None:
    assert materialize(settings, START).rows == {"user": 0, "query": 0}
    assert OnlineFeatures(settings).user("u", START) is None


def test_times_need_a_zone(settings: Settings) -> None:
    with pytest.raises(ValueError, match="time zone"):
        materialize(settings, START.replace(tzinfo=None))


def test_readers_never_find_nothing_during_a_rebuild(settings: Settings) -> None:
    users = [f"u{i}" for i in range(300)]
    write(settings, "user", 0, [Row(u, START, 1) for u in users])
    materialize(settings, START + HOUR)
    online = OnlineFeatures(settings)
    seen: list[set[int | None]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.append(set(numbers(online, users[::10], START + HOUR)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        write(settings, "user", 0, [Row(u, START, 2) for u in users])
        assert materialize(settings, START + HOUR).views["user"].rebuilt
    finally:
        done.set()
        watcher.join()
    assert set().union(*seen) <= {1, 2}
    assert set(numbers(online, users, START + HOUR)) == {2}


KILLED = """
import os, signal, sys
from pathlib import Path
from features.store import materialize, repository
from features.store.online_store import FastFailRedisOnlineStore
from infra.settings import Settings
from tests.features.feature_tables import START

repository.WRITE_BATCH = 50
write, calls = FastFailRedisOnlineStore.online_write_batch, []

def killed_at_the_third(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, *args, **kwargs)

FastFailRedisOnlineStore.online_write_batch = killed_at_the_third
materialize(Settings(home=Path(sys.argv[1])), START)
"""


def test_killed_in_the_middle_is_completed_by_the_next(settings: Settings) -> None:
    users = [f"u{i}" for i in range(200)]
    write(settings, "user", 0, [Row(u, START, 1) for u in users])
    services.redis_address(settings)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(settings.home)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    online = OnlineFeatures(settings)
    assert 0 < len([n for n in numbers(online, users, START) if n]) < len(users)
    assert materialize(settings, START).rows["user"] == 200
    assert_online_equals_offline(settings, users, START)


def test_redis_that_lost_its_data_is_filled_again(settings: Settings) -> None:
    write(settings, "user", 0, [Row("u", START, 1)])
    materialize(settings, START)
    services.stop_all(settings)
    shutil.rmtree(settings.paths.services)
    supervisor.leave_all()
    assert materialize(settings, START).views["user"].rebuilt
    assert numbers(OnlineFeatures(settings), ["u"], START) == [1]


def test_redis_away_is_noticed_at_once_and_comes_back_by_itself(settings: Settings) -> None:
    write(settings, "user", 0, [Row("u", START, 1)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    time.sleep(1.2)  # the append-only file is flushed once a second
    (redis,) = [s for s in services.status(settings) if s.name == "Redis"]
    assert redis.pid is not None
    os.kill(redis.pid, signal.SIGKILL)
    started = time.perf_counter()
    with pytest.raises(OnlineStoreUnavailable):
        while True:  # the kill takes a moment
            online.user("u", START)
    assert time.perf_counter() - started < 1
    assert eventually_known(online)


def test_redis_that_came_back_elsewhere_leaves_no_connection_to_the_one_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket moves with the folder for temporary files."""
    write(settings, "user", 0, [Row("u", START, 1)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    # Kept here, as a request in progress keeps them: what nobody holds is closed by its end.
    pool = online._session._client.connection_pool
    connections = [pool.get_connection() for _ in range(3)]  # as three threads had them
    for connection in connections:
        pool.release(connection)
    services.stop_all(settings)
    with tempfile.TemporaryDirectory() as elsewhere:  # a short path, as a socket needs it
        monkeypatch.setattr(tempfile, "tempdir", elsewhere)
        assert eventually_known(online)
        assert [connection for connection in connections if connection._sock is not None] == []
        online.close()
        services.stop_all(settings)


def test_a_closed_store_starts_no_redis(settings: Settings) -> None:
    online = OnlineFeatures(settings)
    online.close()
    services.stop_all(settings)
    supervisor.leave_all()
    with pytest.raises(OnlineStoreUnavailable):
        online.user("u", START)
    assert not [t for t in threading.enumerate() if t.name == "revive-redis"]
    assert not [s for s in services.status(settings) if s.running or s.used]


def eventually_known(online: OnlineFeatures) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return online.user("u", START) is not None
        except OnlineStoreUnavailable:
            time.sleep(0.05)
    return False


def test_server_by_url_with_a_difficult_password(settings: Settings, redis_with_password: str) -> None:
    given = settings.model_copy(
        update={"online": OnlineSettings(redis_url=SecretStr(redis_with_password), timeout_ms=500)}
    )
    write(given, "user", 0, [Row("u", START, 4)])
    materialize(given, START)
    assert numbers(OnlineFeatures(given), ["u"], START) == [4]
    assert not given.paths.services.exists()
    wrong = given.model_copy(
        update={"online": OnlineSettings(redis_url=SecretStr(redis_with_password.replace("a,b", "no")))}
    )
    with pytest.raises(OnlineStoreUnavailable) as refused:
        materialize(wrong, START)
    assert PASSWORD.rpartition("@")[2] not in str(refused.value)


def test_shops_on_one_redis_leave_each_other_alone(tmp_path: Path, redis_with_password: str) -> None:
    online = OnlineSettings(redis_url=SecretStr(redis_with_password), timeout_ms=500)
    one, other = (Settings(home=tmp_path, shop=shop, online=online) for shop in ("shop", "my_shop"))
    write(one, "user", 0, [Row("u", START, 1)])
    write(other, "user", 0, [Row("u", START, 2), Row("v", START, 2)])
    materialize(other, START)
    materialize(one, START)
    assert numbers(OnlineFeatures(one), ["u", "v"], START) == [1, None]
    assert numbers(OnlineFeatures(other), ["u", "v"], START) == [2, 2]


def test_stale_url_is_an_error_within_the_time_out(settings: Settings) -> None:
    away = settings.model_copy(
        update={"online": OnlineSettings(redis_url=SecretStr("redis://127.0.0.1:1/0"), timeout_ms=50)}
    )
    online = OnlineFeatures(away)
    started = time.perf_counter()
    with pytest.raises(OnlineStoreUnavailable, match=r"redis://127.0.0.1:1/0"):
        online.user("u", START)
    assert time.perf_counter() - started < 0.5


def test_import_is_light() -> None:
    code = "import features.store.online, sys; print([m for m in ('feast', 'redis', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_read_online_has_a_field_for_every_feature() -> None:
    for kind, table in ((UserFeatures, USER_FEATURES), (QueryFeatures, QUERY_FEATURES)):
        assert {field.name for field in dataclasses.fields(kind)} == {*feature_names(table)}
