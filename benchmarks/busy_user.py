"""Time and peak memory of the nightly steps from raw logs to arrays, where one user makes a share of all requests.

    python -m benchmarks.busy_user                        # 60,000 requests a day, 30% of them of one user
    python -m benchmarks.busy_user --slope 1 5 30         # the same shop at a thirtieth, a sixth and all of it

Each step runs in a process of its own under an address space of ``--limit`` GB, so that its peak is its own and a step
that would take the machine is killed alone. The rules on bots are off (they would leave such a user out, which
``--rules`` shows): what is measured is the worst that they let through, a shared id or many days just below a limit.
Read the slope, of the logarithm of seconds of processor time over that of requests, start-up of the process left out:
1 is linear. Fixed costs flatten it at small sizes: it is told between each two neighbouring sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np

from features.build_sessions import build_sessions
from features.catalog import build_catalog
from features.landing import landing_days
from features.quality import SessionJudge, check_features, check_training_set
from features.snapshots import build_item_features, build_query_features, build_user_features, days_to_build
from features.store import materialize
from features.training_set import build_training_set
from infra.services import stop_all
from infra.settings import BotSettings, RawSettings, Settings
from training.data.arrays import prepare_arrays

FIRST = date(2026, 3, 2)
BUSY = "busy"
ITEMS, QUERIES, HITS = 5_000, 3_000, 20
REQUESTS_PER_USER = 8
"""Of everybody else, a day."""


def write_landing(folder: Path, days: int, requests: int, share: float) -> None:
    """A catalogue and ``days`` of UBI files. Queries are drawn with a long tail, items are shown in a query's order."""
    folder.mkdir(parents=True)
    with duckdb.connect() as db:
        db.execute("SELECT setseed(0.5)")
        db.execute(
            f"""COPY (SELECT 'i' || n AS item_id, 'thing ' || n || ' of kind ' || n % 97 AS title,
            'brand ' || n % 211 AS brand, 1 + n % 500 AS price, ['tag ' || n % 31] AS tags
            FROM range({ITEMS}) t(n)) TO '{folder}/catalog.parquet'"""
        )
        for day in (FIRST + timedelta(days=n) for n in range(days)):
            target = folder / f"dt={day}"
            target.mkdir()
            db.execute(_ASKED.format(day=day, requests=requests, share=share, others=requests // REQUESTS_PER_USER))
            db.execute(f"COPY ({_QUERIES}) TO '{target}/ubi_queries.parquet'")
            db.execute(f"COPY ({_EVENTS}) TO '{target}/ubi_events.parquet'")


_ASKED = f"""
CREATE OR REPLACE TABLE asked AS
SELECT 'q{{day}}-' || n AS query_id, '{{day}}'::TIMESTAMP + to_microseconds((n * 86399e6 / {{requests}})::BIGINT)
        AS asked_at, floor({QUERIES} * pow(random(), 3))::BIGINT AS query,
    CASE WHEN random() < {{share}} THEN '{BUSY}' ELSE 'u' || floor({{others}} * pow(random(), 1.5))::BIGINT END
        AS user_id
FROM range({{requests}}) t(n)
"""
_QUERIES = f"""
SELECT query_id, user_id, user_id AS client_id, 'things of kind ' || query AS user_query,
    strftime(asked_at, '%Y-%m-%dT%H:%M:%S.%f') AS timestamp,
    list_transform(range({HITS}), lambda place: 'i' || (query * 7 + place * 13) % {ITEMS}) AS query_response_hit_ids
FROM asked ORDER BY asked_at
"""
_EVENTS = f"""
WITH chosen AS (
    SELECT *, floor({HITS} * pow(random(), 2))::BIGINT AS place, random() AS depth FROM asked WHERE random() < 0.6
), did AS (SELECT *, unnest(['click', 'add_to_cart', 'purchase'][:CASE WHEN depth < 0.1 THEN 3 WHEN depth < 0.25 THEN 2
    ELSE 1 END]) AS action_name FROM chosen)
SELECT action_name, CASE WHEN action_name = 'click' THEN query_id END AS query_id, user_id, user_id AS client_id,
    strftime(asked_at + INTERVAL 20 SECOND * CASE action_name WHEN 'click' THEN 1 WHEN 'add_to_cart' THEN 2 ELSE 3 END,
        '%Y-%m-%dT%H:%M:%S.%f') AS timestamp,
    {{'object': {{'object_id': 'i' || (query * 7 + place * 13) % {ITEMS}}}, 'position': {{'ordinal': place + 1}}}}
        AS event_attributes
FROM did ORDER BY asked_at
"""


def _sessions(settings: Settings) -> str:
    reports = build_sessions(settings, landing_days(settings), judge=SessionJudge())
    held = [f"{report.day} is held: {report.message}" for report in reports if report.held]
    if held:
        raise RuntimeError("; ".join(held))
    return f"{sum(report.rows_out['requests'] for report in reports):,} requests, {reports[0].bot_clients} bots"


def _features(builder: Callable[..., list[object]], view: str, settings: Settings) -> str:
    return f"{sum(count.rows for count in builder(settings, days_to_build(settings, view))):,} rows"  # type: ignore[attr-defined]


def _online(settings: Settings) -> str:
    until = datetime.combine(landing_days(settings)[-1] + timedelta(days=1), datetime.min.time(), UTC)
    return f"{sum(materialize(settings, until).rows.values()):,} entities"


def _training_set(settings: Settings) -> str:
    report = build_training_set(settings)
    rows = sum(count for stages in report.rows.values() for count in stages.values())
    return f"{sum(report.requests.values()):,} requests, {rows:,} rows"


STEPS: dict[str, Callable[[Settings], object]] = {
    "catalogue": lambda settings: f"{build_catalog(settings).items:,} items",
    "sessions": _sessions,
    "user features": partial(_features, build_user_features, "user"),
    "item features": partial(_features, build_item_features, "item"),
    "query features": partial(_features, build_query_features, "query"),
    "checks of features": lambda settings: check_features(settings, landing_days(settings)).success,
    "online features": _online,
    "training set": _training_set,
    "checks of the training set": lambda settings: check_training_set(settings).success,
    "arrays": lambda settings: prepare_arrays(settings, text=False).items,
}
"""What a night does from raw logs to arrays, in order."""


def run_step(name: str, settings: Settings) -> None:
    """Do a step in this process, and print what it took as JSON."""
    started, worked, before = time.perf_counter(), time.process_time(), _peak()
    said = STEPS[name](settings)
    figures = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - worked, "peak": _peak()}
    print(json.dumps(figures | {"start": before, "said": str(said)}))


def _peak() -> float:
    """Peak memory of this process so far, MiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def measured(name: str, home: Path, given: argparse.Namespace) -> dict[str, float | str]:
    """A step in a process of its own: seconds, peak MiB and what it says; or how it ended."""
    limit = int(given.limit * 1e9)
    command = [sys.executable, "-m", "benchmarks.busy_user", "--step", name, str(home), *(["--rules"] * given.rules)]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=given.timeout,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
    except subprocess.TimeoutExpired:
        return {"said": f"stopped after {given.timeout} s"}
    if done.returncode:
        return {"said": f"failed: {(done.stderr.strip().splitlines() or ['killed'])[-1][:160]}"}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def night(days: int, requests: int, given: argparse.Namespace) -> dict[str, dict[str, float | str]]:
    """All steps of a shop with ``requests`` a day; steps after one that failed are left out."""
    found: dict[str, dict[str, float | str]] = {}
    with tempfile.TemporaryDirectory(prefix="busy-", dir=given.folder) as folder:
        home = Path(folder)
        write_landing(home / "landing", days, requests, given.share)
        for name in given.steps or STEPS:
            found[name] = measured(name, home, given)
            print(f"  {requests:,} a day, {name}: {found[name]}", file=sys.stderr, flush=True)
            if "seconds" not in found[name]:
                break
        stop_all(_settings(home, given.rules))
    return found


def _settings(home: Path, rules: bool) -> Settings:
    bots = {} if rules else {"requests_per_day": 0, "clicked_share": 0.0}
    return Settings(home=home, landing=str(home / "landing"), shop="busy", raw=RawSettings(bots=BotSettings(**bots)))


def _cells(ran: dict[str, float | str]) -> str:
    return f" {ran['seconds']:.1f} | {ran['cpu']:.1f} | {ran['peak']:.0f} |" if "seconds" in ran else " | | |"


def _slopes(sizes: list[int], ran: list[dict[str, float | str]]) -> str:
    """Of processor time, between each two neighbouring sizes."""
    cpu = np.array([float(one.get("cpu", np.nan)) for one in ran])
    return ", ".join(f"{slope:.2f}" for slope in np.diff(np.log(cpu)) / np.diff(np.log(sizes)))


def main() -> None:
    """Print a line per step, and with ``--slope`` the slope from the smallest size to the largest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--requests", type=int, default=60_000, help="a day, at the largest size")
    parser.add_argument("--share", type=float, default=0.3, help="of the requests that are of one user")
    parser.add_argument("--slope", type=int, nargs="+", default=[1], help="sizes; the largest is all requests")
    parser.add_argument("--limit", type=float, default=8.0, help="address space of a step, GB")
    parser.add_argument("--timeout", type=int, default=500, help="seconds of a step")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), help="these alone, in this order")
    parser.add_argument("--rules", action="store_true", help="with the rules on bots as they are by default")
    parser.add_argument("--folder", help="where the shop is made and removed again")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        run_step(given.step[0], _settings(Path(given.step[1]), given.rules))
        return
    sizes = sorted(given.slope)
    nights = {size: night(given.days, given.requests * size // sizes[-1], given) for size in sizes}
    heads = "".join(f" {given.requests * size // sizes[-1]:,}: s | of processor | peak MiB |" for size in sizes)
    print(f"| step |{heads} slopes | |")
    print("| --- |" + " ---: |" * (3 * len(sizes) + 1) + " --- |")
    for name in given.steps or STEPS:
        ran = [nights[size].get(name, {}) for size in sizes]
        print(f"| {name} |{''.join(map(_cells, ran))} {_slopes(sizes, ran)} | {ran[-1].get('said', '')} |")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
