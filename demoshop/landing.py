"""The demo shop's landing folder: UBI days and a catalogue, made once, resumed where a run was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from demoshop.queries import ComposedShop
from demoshop.shop import Shop
from demoshop.simulation import Simulation
from demoshop.truth import write_truth, write_truth_day
from demoshop.ubi import Log, write_day, write_table
from infra.contract.content import step_key
from infra.contract.partitions import day_folder
from infra.progress import Progress
from infra.settings import Settings

VERSION = 1
"""Raised when the same settings give other sessions, so that a landing folder of before is made again."""
MANIFEST = "_demo.json"
CATALOG_FILE = "catalog.parquet"


@dataclass(frozen=True)
class LandingReport:
    """What lies in a landing folder. ``users`` are those with a request, ``items`` those of the catalogue."""

    days: int
    requests: int
    impressions: int
    clicks: int
    carts: int
    orders: int
    items: int
    users: int


def make_landing(settings: Settings, progress: Progress | None = None) -> LandingReport:
    """Make the demo shop's landing folder and its hidden truth; return at once where they are there.

    ``progress`` gets a text and the share done, 0 to 1. More days than before are added to those that are there; any
    other change of ``settings.demo`` makes the folder anew.

    Raises:
        ValueError: the landing folder holds days that no demo shop has made.
    """

    def open_shop() -> OpenShop:
        shop = ComposedShop(settings.demo)
        return OpenShop(shop, settings.demo.users, lambda path: write_table(path, shop.table))

    return make_days(settings, "composed", open_shop, progress)


@dataclass(frozen=True)
class OpenShop:
    """A shop ready to simulate, how many users come, and what writes its catalogue to a path."""

    shop: Shop
    users: int
    write_catalog: Callable[[Path], None]


def make_days(
    settings: Settings, source: str, open_shop: Callable[[], OpenShop], progress: Progress | None
) -> LandingReport:
    """Make the days that are missing of a landing folder whose sessions come from ``source``."""
    settings.paths.root.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.paths.root / "demo.lock"):
        manifest = Manifest.open(settings, source)
        if not manifest.report:
            manifest = simulate_missing(settings, manifest, open_shop(), progress or (lambda text, share: None))
        assert manifest.report is not None
        return LandingReport(**manifest.report)


@dataclass
class Manifest:
    """``_demo.json``: which settings made the folder, what each finished day holds, the report once all are there."""

    path: Path
    key: str
    days: dict[str, dict[str, int]]
    report: dict[str, int] | None

    @classmethod
    def open(cls, settings: Settings, source: str) -> Manifest:
        """Read the manifest of a landing folder; empty the folder if it was made from something else."""
        landing, demo = settings.paths.landing, settings.demo
        key = step_key(VERSION, [source, demo.model_dump(mode="json", exclude={"days"})])
        path = landing / MANIFEST
        if not path.exists():
            if any(landing.glob("dt=*")):
                raise ValueError(f"{landing} holds days but no {MANIFEST}: not made by the demo shop, move it away")
            return cls(path, key, {}, None)
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] != key:
            # The manifest goes last: without it the days of a killed clean-up would pass for somebody else's.
            for folder in (*landing.glob("dt=*"), settings.paths.truth):
                if folder.exists():
                    shutil.rmtree(folder)
            path.unlink()
            return cls(path, key, {}, None)
        wanted = {(demo.start + timedelta(days=d)).isoformat() for d in range(demo.days)}
        days = {d: c for d, c in stored["days"].items() if d in wanted and (landing / f"dt={d}").is_dir()}
        whole = set(stored["days"]) == set(days) == wanted and (landing / CATALOG_FILE).is_file()
        return cls(path, key, days, stored["report"] if whole else None)

    def write(self) -> None:
        """Replace the file in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{MANIFEST}.making")
        content: dict[str, Any] = {"key": self.key, "days": self.days, "report": self.report}
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        temporary.replace(self.path)


def simulate_missing(settings: Settings, manifest: Manifest, opened: OpenShop, progress: Progress) -> Manifest:
    """Simulate and write the days that the manifest lacks."""
    demo, landing, truth = settings.demo, settings.paths.landing, settings.paths.truth
    dates = [demo.start + timedelta(days=d) for d in range(demo.days)]
    done = [d.isoformat() in manifest.days for d in dates]
    manifest.report = None
    manifest.write()
    for folder in set(landing.glob("dt=*")) - {day_folder(landing, d) for d in dates}:
        shutil.rmtree(folder)
    opened.write_catalog(landing / CATALOG_FILE)
    write_truth(truth, opened.shop)
    simulation = Simulation(demo, opened.shop, opened.users)
    spilled = Log.empty()
    for day, date in enumerate(dates):
        next_needs = day + 1 < len(dates) and not done[day + 1]
        if done[day] and not next_needs:
            continue
        simulated = simulation.run(day)
        log, spilled = Log.concat([spilled, simulated.log]).split(simulation.midnight(day + 1))
        if not done[day]:
            write_truth_day(truth, date, simulated.truth, simulation.tastes)
            write_day(landing, date, log)
            manifest.days[date.isoformat()] = count(log)
            manifest.write()
        progress(f"demo shop: {date.isoformat()}", (day + 1) / len(dates))
    totals = {name: sum(c[name] for c in manifest.days.values()) for name in COUNTED}
    people = pa.chunked_array(
        [c for d in dates for c in pq.read_table(day_folder(landing, d) / "ubi_queries.parquet")["client_id"].chunks],
        pa.string(),
    )
    manifest.report = asdict(
        LandingReport(len(dates), **totals, items=len(opened.shop.items), users=len(pc.unique(people)))
    )
    manifest.write()
    return manifest


COUNTED = ("requests", "impressions", "clicks", "carts", "orders")


def count(log: Log) -> dict[str, int]:
    """What a day's log holds."""
    actions = log.events["action_name"]
    of = {name: int(pc.sum(pc.equal(actions, name)).as_py() or 0) for name in ("click", "add_to_cart", "purchase")}
    shown = int(pc.sum(pc.list_value_length(log.queries["query_response_hit_ids"])).as_py() or 0)
    return dict(
        zip(COUNTED, (log.queries.num_rows, shown, of["click"], of["add_to_cart"], of["purchase"]), strict=True)
    )
