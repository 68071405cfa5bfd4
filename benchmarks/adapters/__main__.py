"""Adapters on made files in the published shapes: rows in and out, time and memory against DuckDB's reading alone.

``python -m benchmarks.adapters [--rows N] [SOURCE ...]``. Each run is a process of its own, so that its peak memory is
its own. The ratios are to DuckDB reading the same files into tables on disk, both with two threads: of the time on the
clock, and of processor time, which other work on the machine disturbs less. DuckDB reads no XML: a feed's ratio is to
Python's ``iterparse`` alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb

from benchmarks.adapters import catalogs, logs
from features.adapters.run import import_logs

ROWS = 200_000
REPEATS = 3
SOURCES = logs.SOURCES | catalogs.SOURCES
FORMS = ("_parquet", "_xml")
"""Ends of a made source's name: the same adapter on another form of file."""
HEADER = "| source | MiB | rows in | rows out | left out | s | rows/s | alone s | ratio | of cpu | peak MiB |"


def read_alone(files: list[Path]) -> None:
    """DuckDB reads files into tables on disk."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(str(Path(folder, "a.duckdb"))) as connection:
        connection.execute("SET threads = 2; SET enable_progress_bar = false")
        for number, file in enumerate(files):
            if file.suffix == ".xml":
                for _, element in ElementTree.iterparse(file):
                    element.clear()
                continue
            connection.execute(f"CREATE TABLE t{number} AS FROM {_reader(file)}")


def _reader(file: Path) -> str:
    if file.suffix == ".parquet":
        return f"read_parquet('{file}')"
    if file.suffix in (".json", ".ndjson", ".jsonl"):
        return f"read_json('{file}')"
    if file.suffix == ".txt":
        return (
            f"read_csv('{file}', auto_detect = false, header = false, delim = '\x01', quote = '',"
            " columns = {'line': 'VARCHAR'}, max_line_size = 10000000)"
        )
    return f"read_csv('{file}', all_varchar = true, header = true)"


def import_alone(source: str, files: list[Path]) -> dict[str, int]:
    """Counts of one import into a folder that is thrown away."""
    for form in FORMS:
        source = source.removesuffix(form)
    with tempfile.TemporaryDirectory() as folder:
        outcome = import_logs(source, [str(file) for file in files], Path(folder, "logs"))
    named = sum(rows for _, _, rows, _ in outcome.became)
    assert named == outcome.rows_in
    return {
        "rows in": outcome.rows_in,
        "left out": sum(rows for _, became, rows, _ in outcome.became if became.startswith("left out")),
        "rows out": sum(written for *_, written in outcome.became),
    }


def one(what: str, source: str, files: list[Path]) -> None:
    """Run in this process, and print what it measures of itself as JSON."""
    started, before = time.perf_counter(), time.process_time()
    counts: dict[str, int] = {}
    if what == "import":
        counts = import_alone(source, files)
    else:
        read_alone(files)
    seconds, cpu = time.perf_counter() - started, time.process_time() - before
    # ru_maxrss would be that of the parent, which made the file
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu": cpu, "peak MiB": peak, **counts}) + "\n")


def measured(source: str, files: list[Path]) -> dict[str, dict[str, Any]]:
    """What DuckDB's reading (``read``) and the import take: each the best of several processes, taken by turns.

    What else the machine does only adds, and by turns it adds to both.
    """
    found: dict[str, list[dict[str, Any]]] = {"read": [], "import": []}
    for _ in range(REPEATS):
        for what, runs in found.items():
            command = [sys.executable, "-m", "benchmarks.adapters", "--one", what, source, *map(str, files)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{what} {source}: {done.stderr[-2000:]}")
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        what: min(runs, key=lambda run: float(run["seconds"])) | {"cpu": min(float(run["cpu"]) for run in runs)}
        for what, runs in found.items()
    }


def main() -> None:
    """Print a line per source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("sources", nargs="*", help=f"of {', '.join(SOURCES)}; all where none is named")
    given = parser.parse_args()
    if given.one:
        what, source, *paths = given.sources
        one(what, source, [Path(path) for path in paths])
        return
    print(HEADER)
    print("| --- |" + " ---: |" * (HEADER.count("|") - 2))
    for source in given.sources or SOURCES:
        with tempfile.TemporaryDirectory(prefix="adapters-") as made:
            folder = Path(made)
            with duckdb.connect() as connection:
                SOURCES[source](connection, folder, given.rows)
            files = sorted(folder.iterdir())
            size = sum(file.stat().st_size for file in files) / 2**20
            alone, told = measured(source, files).values()
        print(
            f"| {source} | {size:.0f} | {told['rows in']:,} | {told['rows out']:,} | {told['left out']:,}"
            f" | {told['seconds']:.2f} | {told['rows in'] / told['seconds']:,.0f} | {alone['seconds']:.2f}"
            f" | {told['seconds'] / alone['seconds']:.1f} | {told['cpu'] / max(alone['cpu'], 0.01):.1f}"
            f" | {told['peak MiB']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
