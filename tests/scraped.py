"""What Prometheus finds of a shop whose release is live and whose night ended: a real scrape, and the night's file."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from starlette.testclient import TestClient

from features.day_report import DayReport, write_report
from infra.contract.partitions import write_partition
from infra.contract.tables import REQUESTS
from infra.settings import ServingSettings, Settings
from orchestration.disk_use import keep_use, measured_use
from orchestration.night.ended_run import EndedRun, Step
from orchestration.night.figures import write_figures
from orchestration.night.textfile import figures_file
from orchestration.releases import record
from serving.api.app import create_app
from serving.index import promote, push
from tests.serving.api.conftest import LOCAL, OPEN, wait_until_ready
from tests.serving.small_shop import make_shop, publish_user
from training.evaluation import EvaluationReport
from training.release.gates import Gate

DAY = date(2026, 1, 5)


def shop_with_live(folder: Path) -> Settings:
    """A shop whose release is live and was judged, with one day, some of whose rows were refused."""
    shop = make_shop(folder, items=50, serving=ServingSettings(refresh_seconds=0.2), api=OPEN)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=["i0"])
    row = {"method": "served", "recall@100": {"value": 0.5, "low": 0.4, "high": 0.6}}
    part = {"requests": 1, "users": 1, "rows": [row], "differences": {}}
    release = shop.release(
        evaluation=EvaluationReport("orders", 1, 50, [row], {"head queries": part}, serving="served")
    )
    push(shop.settings, release)
    promote(shop.settings, release.id)
    record(shop.settings, release.id, Gate("slices", True, "", {"difference": 0.1}))
    counts = {"rows_in": 10, "clean": 9, "ignored": 0, "reasons": {"time": 1}, "rows_out": {"requests": 4}}
    write_report(
        shop.settings,
        DayReport(
            DAY, "", "", (), {}, **counts, examples={}, bad_share=0.1, held=False, kept_previous=False, attribution={},
            unknown_actions={}, inputs="", output=None, settings="", seconds=1.0,
        ),
    )  # fmt: skip
    (shop.settings.paths.landing / f"dt={DAY}").mkdir(parents=True)
    with measured_use(shop.settings, "retrain", "1", days=1):
        pass
    keep_use(shop.settings, "retrain", "1")
    requests = pa.Table.from_pylist([{"query_id": "q1"}], REQUESTS)
    write_partition(shop.settings.paths.sessions / "requests", DAY, requests, REQUESTS)
    return shop.settings


def exported(settings: Settings) -> set[str]:
    """Names that a server which answered a search and a night that succeeded export, counters that stand at nothing
    included."""
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        assert client.post("/search", json={"query": "shoes"}).status_code == 200
        served = client.get("/metrics").text
    now = datetime.now(UTC)
    night = EndedRun("1", "retrain", "success", now, now, days=(DAY, DAY), steps=(Step("live", "success", 1.0),))
    write_figures(settings, [night], {"retrain": now})
    left = figures_file(settings).read_text(encoding="utf-8")
    types = re.findall(r"^# TYPE (\w+) counter$", served, flags=re.M)
    samples = {re.split(r"[{ ]", line)[0] for line in (served + left).splitlines() if line and not line.startswith("#")}
    # A counter by a label has no sample before it counts.
    return samples | set(types)
