"""Feast's registry in a database: SQLite, and PostgreSQL where its server and a driver are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from features.store import OnlineFeatures, apply, materialize
from features.store.errors import RegistryError
from features.store.repository import open_store
from infra import services
from infra.contract.names import FEATURE_SERVICE
from infra.services import supervisor
from infra.settings import FeatureSettings, OnlineSettings, Settings
from tests.features.feature_tables import START, Row, write
from tests.features.test_store_online import assert_online_equals_offline, numbers
from tests.redis_servers import free_port

PASSWORD = "of-the-database"
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/registry.db"
        return
    pytest.importorskip("psycopg2", reason="pip install -c constraints.txt -e '.[deploy]'")
    if POSTGRES is None:
        pytest.skip("no PostgreSQL under /usr/lib/postgresql")
    with postgres(POSTGRES) as url:
        yield url


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A server of the test's own; where the tests run as root, as the user postgres, as it refuses to be root's."""
    folder = Path(tempfile.mkdtemp(prefix="shelfwise-postgres-"))
    as_owner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if as_owner:
        subprocess.run(["chown", "-R", "postgres", str(folder)], check=True)
    data, port = folder / "data", free_port()
    first = [
        programs / "initdb",
        "-N",
        "-D",
        data,
        "-U",
        "shop",
        "-A",
        "scram-sha-256",
        "--pwfile",
        folder / "password",
    ]
    control = [*as_owner, programs / "pg_ctl", "-w", "-D", data]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        subprocess.run([*as_owner, *first], check=True, capture_output=True, cwd=folder)
        subprocess.run([*control, "-o", options, "-l", folder / "log", "start"], check=True, cwd=folder, timeout=60)
        try:
            yield f"postgresql://shop:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=folder, timeout=60)
    finally:
        shutil.rmtree(folder)


def settings_of(home: Path, url: str, **features: object) -> Settings:
    given = FeatureSettings.model_validate({"registry_url": SecretStr(url), **features})
    return Settings(home=home, features=given, online=OnlineSettings(timeout_ms=500))


def test_definitions_are_registered_once_and_again_where_they_change(tmp_path: Path, url: str) -> None:
    settings = settings_of(tmp_path / "one", url)
    written = last_written(url, apply(settings))
    assert last_written(url, apply(settings)) == written
    time.sleep(1)  # the registry writes its times in whole seconds
    changed = settings_of(tmp_path / "one", url, user_ttl=timedelta(days=7))
    store = open_store(changed)
    assert store.get_feature_view("user_features").ttl == timedelta(days=7)
    assert last_written(url, apply(changed)) > written
    assert not list((tmp_path / "one" / "demo" / "feast").glob("*.db"))
    # Another shop in the same database, on another machine.
    other = open_store(Settings(home=tmp_path / "two", shop="other", features=settings.features))
    assert other.get_feature_view("user_features").ttl == settings.features.user_ttl
    assert open_store(changed).get_feature_view("user_features").ttl == timedelta(days=7)
    assert {project.name for project in other.list_projects()} >= {settings.project, other.project}
    assert other.get_feature_service(FEATURE_SERVICE)


def last_written(url: str, registry: dict[str, str]) -> int:
    engine = create_engine(registry["path"])
    with engine.connect() as connection:
        found = int(connection.execute(text("select max(last_updated_timestamp) from feature_services")).scalar_one())
        found += int(connection.execute(text("select count(*) from feature_view_version_history")).scalar_one())
    engine.dispose()
    return found


@pytest.mark.server
def test_online_equals_offline(tmp_path: Path, url: str) -> None:
    settings = settings_of(tmp_path / "shop", url)
    write(settings, "user", 0, [Row(f"u{n}", START, n) for n in range(20)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    assert numbers(online, ["u3", "nobody"], START) == [3, None]
    assert_online_equals_offline(settings, [f"u{n}" for n in range(20)], START)
    online.close()
    services.stop_all(settings)
    supervisor.leave_all()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no database", "is no URL of a database"),
        ("nosuch://user:secret@host/name", "cannot be used: Can't load plugin"),
        ("sqlite:////nosuch/folder/registry.db", "cannot be used: unable to open database file"),
        ("mysql+nosuchdriver://shop:secret@127.0.0.1/x", "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_said_without_the_password(tmp_path: Path, url: str, says: str) -> None:
    with pytest.raises(RegistryError, match=says) as refused:
        apply(settings_of(tmp_path, url))
    assert "SHELFWISE_FEATURES__REGISTRY_URL" in str(refused.value) and "secret" not in str(refused.value)


def test_a_driver_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="needs a driver that is not installed"):
        apply(settings_of(tmp_path, "postgresql+pg8000://shop:secret@127.0.0.1:1/name"))


def test_a_database_that_is_away(tmp_path: Path) -> None:
    pytest.importorskip("psycopg2", reason="pip install -c constraints.txt -e '.[deploy]'")
    with pytest.raises(RegistryError, match=r"shop:\*\*\*@127.0.0.1:1/name cannot be used: connection to server"):
        apply(settings_of(tmp_path, "postgresql://shop:secret@127.0.0.1:1/name"))


def test_the_registry_makes_no_table_stale() -> None:
    assert FeatureSettings(registry_url=SecretStr("sqlite:///x")).of_the_data() == FeatureSettings().of_the_data()
