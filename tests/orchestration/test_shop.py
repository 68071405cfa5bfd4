"""Whose logs a shop's folder holds, and that one run at a time works on it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from features.landing import LandingError
from infra.run_lock import one_run
from infra.settings import Settings
from orchestration.shop import claim_shop
from tests.orchestration.conftest import SmallShop

pytestmark = pytest.mark.slow


def test_two_landings_do_not_mix_in_one_shop(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, shop="logs")
    claim_shop(settings, "/here/logs")
    claim_shop(settings, "/here/logs")
    with pytest.raises(LandingError, match="--shop NAME"):
        claim_shop(settings, "/there/logs")


@pytest.mark.parametrize(("module", "arguments"), [("orchestration.cli", ("run",)), ("training", ())])
def test_a_second_run_on_a_shop_is_refused(tmp_path: Path, module: str, arguments: tuple[str, ...]) -> None:
    shop = SmallShop(tmp_path)
    with one_run(shop.settings()):
        ran = shop.run(*arguments, module=module)
    assert ran.code == 1, ran.output
    assert "Another run works on shop demo" in ran.output
    assert not shop.settings().paths.training.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--data", "nowhere://bucket/logs"), "cannot be opened"),
        (("run", "--days", "2026-03-99"), "write YYYY-MM-DD"),
        (("run", "--days", "2020-01-01"), "not within the logs"),
        (("run", "--data", "nosuchfolder"), "no such folder"),
        (("search", "shoes"), "shelfwise run"),
    ],
)
def test_what_a_user_can_mend_is_said_in_a_sentence(
    new_shop: Callable[[], SmallShop], arguments: tuple[str, ...], says: str
) -> None:
    ran = new_shop().run(*arguments)
    assert ran.code == 2, ran.output
    assert says in ran.output
    assert "Traceback" not in ran.output


@pytest.mark.parametrize("command", ["status", "releases", "rollback", "serve", "down"])
def test_a_mistyped_shop_is_not_made(tmp_path: Path, command: str) -> None:
    shop = SmallShop(tmp_path)
    claim_shop(Settings(home=tmp_path, shop="demo"), None)
    ran = shop.run(command, "--shop", "nosuch")
    assert ran.code == 2, ran.output
    assert "there is no shop nosuch" in ran.output and "there are: demo" in ran.output
    assert [folder.name for folder in tmp_path.iterdir()] == ["demo"]


def test_a_landing_of_the_environment_has_to_be_there(tmp_path: Path) -> None:
    ran = SmallShop(tmp_path).run("run", environment={"SHELFWISE_LANDING": "/nonexist"})
    assert ran.code == 2, ran.output
    assert "SHELFWISE_LANDING=/nonexist: there is no such folder" in ran.output
    assert not list(tmp_path.iterdir())


def test_a_catalogue_is_looked_for_before_the_run(tmp_path: Path) -> None:
    day = tmp_path / "logs" / "dt=2026-03-01"
    day.mkdir(parents=True)
    (day / "ubi_queries.ndjson").write_text("{}\n")
    ran = SmallShop(tmp_path / "home").run("run", "--data", str(day.parent))
    assert ran.code == 2, ran.output
    assert "no catalogue in" in ran.output
    assert not (tmp_path / "home").exists()


def test_a_second_ui_says_who_may_have_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ran = SmallShop(tmp_path).run("ui", environment={"SHELFWISE_UI__DOCS_PORT": port})
    assert ran.code == 1, ran.output
    assert f"Port {port} is taken, perhaps by a running `shelfwise ui`" in ran.output
