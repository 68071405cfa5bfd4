"""Time and memory of reading a day of the demo shop once, ten times and a hundred times as large.

    python -m benchmarks.reading_sessions [--scales 1 10 100]

The day is copied with other ids for its requests, people and sessions, as Parquet. Each size is read in a process of
its own, so that its peak memory is its own. Read the slope, of the logarithm of seconds over that of rows: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import numpy as np

from demoshop.landing import make_landing
from features.build_sessions import build_sessions
from infra.settings import DemoSettings, Settings

REPEATS = 3
COPY = """
COPY (SELECT s.* REPLACE ({changed}) FROM read_parquet('{source}') AS s, range({times}) AS copies(n))
TO '{target}' (FORMAT parquet)
"""
CHANGED = {
    "ubi_queries": ("query_id", "user_id", "client_id"),
    "ubi_events": ("query_id", "session_id", "user_id", "client_id"),
}


def enlarged(source: Path, target: Path, times: int) -> int:
    """Write a day's files ``times`` over; the rows written."""
    target.mkdir(parents=True)
    rows = 0
    with duckdb.connect() as connection:
        for name, columns in CHANGED.items():
            changed = ", ".join(f"{column} || '-' || n AS {column}" for column in columns)
            files = {"source": source / f"{name}.parquet", "target": target / f"{name}.parquet"}
            connection.execute(COPY.format(changed=changed, times=times, **files))
            ((count,),) = connection.execute(f"SELECT count(*) FROM '{files['target']}'").fetchall()
            rows += count
    return rows


def read(home: Path, landing: Path, day: date) -> None:
    """Read the day in this process, and print what it took as JSON."""
    settings = Settings(home=home, landing=str(landing), shop="large")
    started = time.perf_counter()
    (report,) = build_sessions(settings, [day])
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "peak": peak, "clean": report.clean}))


def measured(scale: int, source: Path, day: date) -> tuple[int, float, float]:
    """Rows, seconds (the best of several) and peak memory in MiB of a day of that size."""
    with tempfile.TemporaryDirectory(prefix="reading-") as folder:
        rows = enlarged(source, Path(folder, "landing", source.name), scale)
        found = []
        for n in range(REPEATS if scale < 100 else 1):
            command = [sys.executable, "-m", "benchmarks.reading_sessions", "--read", f"{folder}/home{n}", folder]
            done = subprocess.run([*command, day.isoformat()], capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    best = min(found, key=lambda one: float(one["seconds"]))
    return rows, best["seconds"], best["peak"]


def main() -> None:
    """Print a line per size, and the slope from each to the next."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        home, folder, day = given.read
        read(Path(home), Path(folder, "landing"), date.fromisoformat(day))
        return
    with tempfile.TemporaryDirectory(prefix="reading-") as home:
        settings = Settings(home=Path(home), demo=DemoSettings(days=1))
        make_landing(settings)
        (source,) = settings.paths.landing.glob("dt=*")
        day = date.fromisoformat(source.name.removeprefix("dt="))
        print("| times | rows | s | rows/s | peak MiB | slope of time |")
        print("| ---: |" + " ---: |" * 5)
        before: tuple[int, float] | None = None
        for scale in given.scales:
            rows, seconds, peak = measured(scale, source, day)
            slope = f"{np.log(seconds / before[1]) / np.log(rows / before[0]):.2f}" if before else ""
            print(f"| {scale} | {rows:,} | {seconds:.2f} | {rows / seconds:,.0f} | {peak:.0f} | {slope} |", flush=True)
            before = rows, seconds


if __name__ == "__main__":
    main()
