"""``shelfwise check``: exit codes are those that a run would end with, and nothing of a shop is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.features.raw_log import land
from tests.features.readiness.shop import DAYS, events, queries
from tests.features.readiness.shop import new_shop as new_logs
from tests.orchestration.conftest import SmallShop

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(new_shop: Callable[[], SmallShop]) -> SmallShop:
    return new_shop()


def test_a_shop_that_ran_is_ready(demo_shop: SmallShop, tmp_path: Path) -> None:
    landing = demo_shop.settings().paths.landing
    before = sorted((path, path.stat().st_mtime_ns) for path in demo_shop.home.rglob("*"))
    checked = demo_shop.run("check", str(landing), "--to", str(tmp_path / "page.html"))
    assert checked.code == 0, checked.output
    assert checked.output.lstrip().startswith("Ready")
    assert "Logs of 6 days" in checked.output
    assert "ordered over unclicked" in checked.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert str(landing) in page
    assert sorted((path, path.stat().st_mtime_ns) for path in demo_shop.home.rglob("*")) == before


def test_a_run_stops_where_the_check_says_so(shop: SmallShop, tmp_path: Path) -> None:
    landing = Path(str(new_logs(tmp_path).landing))
    settings = shop.settings(landing)
    land(settings, [*queries(DAYS[1])[:2], "{", "{"], events(DAYS[1])[:2], day=DAYS[1])
    checked = shop.run("check", str(landing), "--json")
    report = json.loads(checked.output)
    assert checked.code == 1
    assert report["verdict"] == "a run would stop"
    ran = shop.run("run", "--data", str(landing))
    assert ran.code == 1
    held = next(stop for stop in report["stops"] if "is held" in stop)
    assert held.split(" rows were refused")[0] in ran.output


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("missing", "There is no landing folder"),
        ("empty", "holds no day: expected folders dt=YYYY-MM-DD"),
        ("judgements of nothing", "no column"),
    ],
)
def test_what_cannot_be_run_ends_with_a_sentence(shop: SmallShop, tmp_path: Path, made: str, sentence: str) -> None:
    landing = tmp_path / "logs"
    if made != "missing":
        landing.mkdir()
    if made == "judgements of nothing":
        (landing / "catalog.csv").write_text("sku,name\na,shoe\n", encoding="utf-8")
        (landing / "qrels.tsv").write_text("who\tknows\n1\t2\n", encoding="utf-8")
    checked = shop.run("check", str(landing), "--to", str(tmp_path / "page.html"))
    assert checked.code == 1
    assert sentence in checked.output
    assert "Traceback" not in checked.output
    assert not list(shop.home.iterdir())


def test_of_a_broken_catalogue_without_days_the_cause_alone_is_said(shop: SmallShop, tmp_path: Path) -> None:
    landing = tmp_path / "logs"
    landing.mkdir()
    (landing / "catalog.csv").write_text("name,price\nshoe,3\n", encoding="utf-8")
    checked = shop.run("check", str(landing), "--json")
    (stop,) = json.loads(checked.output)["stops"]
    assert checked.code == 1 and "no id column" in stop


def test_a_catalogue_alone_can_be_served(shop: SmallShop, tmp_path: Path) -> None:
    landing = tmp_path / "logs"
    landing.mkdir()
    (landing / "catalog.csv").write_text("sku,name\na,shoe\nb,boot\n", encoding="utf-8")
    checked = shop.run("check", str(landing), "--to", str(tmp_path / "page.html"))
    assert checked.code == 0, checked.output
    assert "Ready with gaps" in checked.output
    assert "holds no day: expected folders dt=YYYY-MM-DD" in checked.output
    assert "A run serves the catalogue alone" in checked.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "A run serves the catalogue alone" in page
    assert not list(shop.home.iterdir())


def test_a_sample_that_is_none_is_refused(shop: SmallShop, tmp_path: Path) -> None:
    checked = shop.run("check", str(tmp_path), "--sample", "some")
    assert checked.code == 2
    assert "--sample 'some': write a share of the days" in checked.output


def test_logs_of_another_shop_of_that_name_stop_a_run(shop: SmallShop, tmp_path: Path) -> None:
    landing = Path(str(new_logs(tmp_path).landing))
    note = shop.home / "logs" / "shop.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"landing": "/elsewhere/logs"}), encoding="utf-8")
    checked = shop.run("check", str(landing), "--json")
    assert checked.code == 1
    assert "holds the logs of /elsewhere/logs" in json.loads(checked.output)["stops"][0]
