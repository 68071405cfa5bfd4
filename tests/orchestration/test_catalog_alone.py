"""A shop with a catalogue and no log: live at once, and taken over by what learns from the log that comes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.catalog_release import is_catalog_release, release_catalog
from orchestration.releases import read_verdict
from serving import Retriever
from serving.index import kept_release_ids, live_release_id
from tests.orchestration.conftest import SmallShop

pytestmark = pytest.mark.slow

CATALOG = """item_id,title,brand,price
m1,Wireless mouse black,Acme,19.9
m2,Mouse trap wooden,Borealis,3.5
g1,Evening gown for women,Acme,89
c1,Coffee grinder with steel burrs,Dorado,45
"""


@pytest.fixture(scope="module")
def bare_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallShop, Path]:
    """A shop that was run on a catalogue alone, and its landing folder."""
    landing = tmp_path_factory.mktemp("landing") / "bare"
    landing.mkdir()
    (landing / "catalog.csv").write_text(CATALOG)
    shop = SmallShop(tmp_path_factory.mktemp("home"))
    ran = shop.run("run", "--data", str(landing))
    assert ran.code == 0, ran.output
    assert "the catalogue alone serves" in ran.output
    return shop, landing


def test_a_catalogue_alone_goes_live_and_answers(bare_shop: tuple[SmallShop, Path]) -> None:
    shop, landing = bare_shop
    settings = shop.settings(landing)
    live = live_release_id(settings)
    assert live is not None
    assert is_catalog_release(settings, live)
    assert read_verdict(settings, live).proven
    with Retriever(settings) as retriever:
        answer = retriever.retrieve("ann", "mouse without a cable", k=2, explain=True)
        assert [hit.item_id for hit in answer.hits] == ["m1", "m2"]
        assert not answer.personalized
        assert retriever.retrieve(None, "xqzt vwkj", k=2).confident is None, "no log has told it what fits"
        assert retriever.record("ann", "click", item_id="m1")
        assert retriever.retrieve("ann", "gown", k=1).hits[0].item_id == "g1"
        assert [h.item_id for h in retriever.retrieve(None, "mouse", filters={"brand": "Borealis"}).hits] == ["m2"]


def test_the_same_catalogue_stays_live_and_a_new_one_takes_its_place(bare_shop: tuple[SmallShop, Path]) -> None:
    shop, landing = bare_shop
    settings = shop.settings(landing)
    before = live_release_id(settings)
    again = shop.run("run", "--data", str(landing))
    assert again.code == 0, again.output
    assert live_release_id(settings) == before
    (landing / "catalog.csv").write_text(CATALOG + "k1,Kitchen scale,Dorado,25\n")
    assert shop.run("run", "--data", str(landing)).code == 0
    with Retriever(settings) as retriever:
        assert retriever.retrieve(None, "weigh flour", k=1).hits[0].item_id == "k1"
    assert set(kept_release_ids(settings)) == {before, live_release_id(settings)}


def test_a_folder_that_may_be_meant_as_a_day_is_not_passed_over(
    tmp_path: Path, new_shop: Callable[[], SmallShop]
) -> None:
    landing = tmp_path / "logs"
    (landing / "2026-03-01").mkdir(parents=True)
    (landing / "catalog.csv").write_text(CATALOG)
    ran = new_shop().run("run", "--data", str(landing))
    assert ran.code == 2, ran.output
    assert "rename it dt=2026-03-01" in ran.output


def test_a_log_that_begins_today_waits_and_the_catalogue_serves(
    bare_shop: tuple[SmallShop, Path], tmp_path: Path
) -> None:
    shop, landing = bare_shop
    today = landing / f"dt={datetime.now(UTC).date()}"
    today.mkdir()
    row = {"query_id": "q1", "client_id": "c1", "user_query": "mouse", "timestamp": datetime.now(UTC).isoformat()}
    (today / "ubi_queries.ndjson").write_text(json.dumps(row) + "\n")
    try:
        ran = shop.run("run", "--data", str(landing))
        checked = shop.run("check", str(landing), "--to", str(tmp_path / "page.html"))
    finally:
        shutil.rmtree(today)
    assert ran.code == 0, ran.output
    assert "the catalogue alone serves" in ran.output
    assert checked.code == 0, checked.output
    assert "No day of the logs is over" in checked.output


def test_what_lies_beside_the_catalogue_and_is_not_read_is_named(
    bare_shop: tuple[SmallShop, Path], tmp_path: Path
) -> None:
    shop, landing = bare_shop
    (landing / "searches.csv").write_text("query\nmouse\n")
    ran = shop.run("run", "--data", str(landing))
    assert "searches.csv" in ran.output
    (landing / "searches.csv").unlink()


def test_towers_take_over_and_the_catalogue_alone_does_not_come_back(new_shop: Callable[[], SmallShop]) -> None:
    shop = new_shop()
    ran = shop.run("run")
    assert ran.code == 0, ran.output
    settings = shop.settings()
    live = live_release_id(settings)
    assert live is not None
    assert not is_catalog_release(settings, live)
    (before,) = (release for release in kept_release_ids(settings) if release != live)
    assert is_catalog_release(settings, before), "the demo shop served its catalogue before its towers"
    assert "catalogue alone" in shop.run("releases").output
    outcome = release_catalog(settings)
    assert (outcome.release, outcome.before) == (None, live)
    assert live_release_id(settings) == live


def test_the_nightly_run_of_a_catalogue_alone_asks_for_nothing_else(bare_shop: tuple[SmallShop, Path]) -> None:
    shop, landing = bare_shop
    code = (
        "from datetime import datetime, UTC; import dagster as dg\n"
        "from orchestration.definitions import defs\n"
        "from orchestration.schedules import nightly_retrain\n"
        "with dg.DagsterInstance.ephemeral() as instance:\n"
        "    context = dg.build_schedule_context(instance, scheduled_execution_time=datetime.now(UTC),"
        " repository_def=defs.get_repository_def())\n"
        "    (request,) = nightly_retrain.evaluate_tick(context).run_requests\n"
        "print(sorted(key.to_user_string() for key in request.asset_selection))\n"
    )
    environment = shop.environment() | {"SHELFWISE_LANDING": str(landing)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "['catalog', 'catalog_release']" in ran.stdout
