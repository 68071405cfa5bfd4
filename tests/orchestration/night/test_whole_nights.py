"""Whole runs through the command line: what they leave to be scraped, and who is told of what stopped them."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.settings import Settings
from orchestration.night.textfile import figures_file, serve_figures
from serving.index import live_release_id
from tests.features import raw_log
from tests.orchestration.conftest import SmallShop
from tests.orchestration.night.receiver import Receiver, receiving
from tests.orchestration.test_gates import LEARNS_NOTHING

pytestmark = pytest.mark.slow

TICK = "tests.orchestration.night.tick"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def figures(text: str) -> Figures:
    """By name and labels, but for the shop."""
    return {
        (sample.name, frozenset((sample.labels | {"shop": ""}).items() - {("shop", "")})): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


def written(settings: Settings) -> Figures:
    return figures(figures_file(settings).read_text(encoding="utf-8"))


def test_a_night_leaves_its_figures(demo_shop: SmallShop) -> None:
    printed = demo_shop.run("metrics")
    assert printed.code == 0, printed.output
    settings = demo_shop.settings()
    found = written(settings)
    assert figures(printed.output) == found
    retrain = of(job_name="retrain")
    assert found["shelfwise_run_succeeded", retrain] == 1.0
    ended = found["shelfwise_run_ended_timestamp_seconds", retrain]
    assert ended == found["shelfwise_run_succeeded_timestamp_seconds", retrain] <= time.time()
    steps = {dict(labels)["step"]: value for (name, labels), value in found.items() if name.endswith("step_seconds")}
    assert {"sessions", "towers", "live", "release_recall_holds"} <= steps.keys()
    assert 0 < sum(steps.values()) <= ended - found["shelfwise_run_started_timestamp_seconds", retrain] + 1
    became = [found["shelfwise_rows", of(outcome=name)] for name in ("clean", "ignored", "refused")]
    assert found["shelfwise_rows_in", of()] <= sum(became), "rows of baskets give several"
    assert found["shelfwise_rows_out", of(table="requests")] > 0
    shares = [value for (name, _), value in found.items() if name == "shelfwise_quarantine_share"]
    assert sum(shares) == pytest.approx(became[2] / found["shelfwise_rows_in", of()])
    assert found["shelfwise_days_held", of()] == found["shelfwise_release_blocked", of()] == 0.0
    assert 0 < found["shelfwise_recall_at_100", of(method="served")] <= 1
    assert found["shelfwise_gate_passed", of(gate="servability")] == 1.0
    live = live_release_id(settings)
    assert live is not None
    assert found["shelfwise_release_trained_timestamp_seconds", of(state="live", release=live)] <= ended


def test_the_figures_can_be_scraped(demo_shop: SmallShop) -> None:
    settings = demo_shop.settings()
    port, _ = serve_figures(figures_file(settings), "127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert figures(answer.read().decode()) == written(settings)


def test_before_the_first_run_there_is_nothing_to_scrape(tmp_path: Path) -> None:
    port, _ = serve_figures(tmp_path / "night.prom", "127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200 and figures(answer.read().decode()) == {}


def test_a_blocked_release_is_told_once(demo_shop: SmallShop, receiver: Receiver) -> None:
    run = demo_shop.run("towers", module="tests.orchestration.dying_run", environment=LEARNS_NOTHING)
    assert run.code == 1, run.output
    told = {"SHELFWISE_WEBHOOK__URL": receiver.url, "SHELFWISE_WEBHOOK__FORMAT": "slack"}
    for _ in range(2):
        tick = demo_shop.run(module=TICK, environment=told)
        assert "SAID Everything is told." in tick.output, tick.output
    (body,) = receiver.bodies
    assert body["text"].startswith("*demo*: blocked release. Release ")
    assert "recall@100 is" in body["text"] and body["text"].endswith("`shelfwise releases --shop demo`")


def test_a_held_day_is_told_once_and_without_rows_of_the_log(
    new_shop: Callable[[], SmallShop], tmp_path: Path, receiver: Receiver
) -> None:
    shop = new_shop()
    settings = shop.settings(tmp_path / "logs")
    days = [raw_log.DAY, raw_log.DAY + timedelta(days=1)]
    for day in days:
        queries = [raw_log.query(f"q{n}", user=f"person{n}", day=day) for n in range(40)]
        clicks = [raw_log.event("click", "a", query_id=f"q{n}", user=f"person{n}", day=day) for n in range(40)]
        broken = [{**click, "timestamp": "long ago"} for click in clicks]
        raw_log.land(settings, queries, broken if day == days[1] else clicks, day=day)
    items = [{"item_id": item, "title": f"red shoes {item}", "price": 10.0} for item in "abc"]
    (tmp_path / "logs" / "catalog.ndjson").write_text(raw_log.ndjson(items))
    environment = {"SHELFWISE_LANDING": str(settings.landing), "SHELFWISE_WEBHOOK__URL": receiver.url}
    ran = shop.run("run", environment=environment)
    assert ran.code == 1 and f"{days[1]} is held" in ran.output, ran.output
    (body,) = receiver.bodies
    assert body["kind"] == "held_day" and body["sentence"].startswith(f"{days[1]} is held"), body
    assert "person" not in body["sentence"] and "long ago" not in body["sentence"], body
    assert body["command"] == f"shelfwise check {settings.landing} --shop logs"
    assert written(settings)["shelfwise_days_held", of()] == 1.0
    tick = shop.run(module=TICK, environment=environment)
    assert "SAID Everything is told." in tick.output, tick.output
    again = shop.run("run", environment=environment)
    assert again.code == 1, again.output
    assert len(receiver.bodies) == 1, receiver.bodies
    shutil.rmtree(tmp_path / "logs" / f"dt={days[1]}")
    shop.run("run", environment=environment)
    assert written(settings)["shelfwise_days_held", of()] == 0.0
