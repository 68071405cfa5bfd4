"""Runs what is not done yet, several processes at once, and keeps an index of what is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablations.jobs import REPOSITORY, Job
from benchmarks.ablations.results import Result
from benchmarks.ablations.rows import THREADS
from benchmarks.ablations.worker import Order
from benchmarks.ablations.workspace import Workspace
from infra.contract.partitions import write_json

INDEX = "index.json"


@dataclass(frozen=True)
class Scope:
    """What all runs of an index have in common: they are compared."""

    validation_days: int
    changes: dict[str, Any]
    judged: str | None


def run_jobs(workspace: Workspace, jobs: Sequence[Job], scope: Scope, at_once: int, any_code: bool) -> list[Job]:
    """Run what is not done, and return the jobs that failed. A job that fails stops no other."""
    waiting = list({job.key: job for job in jobs if not job.is_done(workspace.results, any_code)}.values())
    print(f"{len(jobs)} runs, {len(waiting)} of them to do", flush=True)
    failed: list[Job] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(_run, workspace, job, scope): job for job in waiting}
        for number, done in enumerate(as_completed(running), start=1):
            job = running[done]
            if done.result() != 0:
                failed.append(job)
            left = (time.perf_counter() - began) / number * (len(waiting) - number) / 60
            print(f"[{number}/{len(waiting)}, {left:.0f} min left] {_said(workspace, job)}", flush=True)
    return failed


def _run(workspace: Workspace, job: Job, scope: Scope) -> int:
    folder = workspace.root / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    order = folder / f"{job.key}.json"
    Order(
        row=job.row,
        seed=job.seed,
        key=job.key,
        training=job.training.model_dump(mode="json"),
        home=str(workspace.shop.root.parent),
        shop=workspace.name,
        validation_days=scope.validation_days,
        judged=scope.judged,
    ).write(order)
    threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with log_of(workspace, job.key).open("w", encoding="utf-8") as log:
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.ablations.worker", str(order)],
            env=os.environ | threads | {"PYTHONPATH": str(REPOSITORY)},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def log_of(workspace: Workspace, key: str) -> Path:
    """What a run printed."""
    return workspace.root / "logs" / f"{key}.log"


def _said(workspace: Workspace, job: Job) -> str:
    name, result = f"{job.row}, seed {job.seed}", Result.find(workspace.results, job.key)
    if result is None:
        return f"{name}: FAILED, see {log_of(workspace, job.key)}"
    if result.objection:
        return f"{name}: cannot be measured here: {result.objection}"
    curve = result.content.get("training", {}).get("curve") or [{}]
    best = max((entry.get("recall@100") or 0.0 for entry in curve), default=0.0)
    return f"{name}: {result.content['seconds']:.0f} s" + (f", clicks recall@100 {best:.3f}" if best else "")


@dataclass(frozen=True)
class Indexed:
    """What an index has already."""

    seeds: frozenset[int] = frozenset()
    tables: frozenset[str] = frozenset()


def comparable_index(workspace: Workspace, scope: Scope) -> Indexed:
    """What earlier runs noted, if they can be compared with those of ``scope``."""
    index = read_index(workspace.root)
    if index is None or (index["changes"], index["validation_days"]) != (scope.changes, scope.validation_days):
        return Indexed()
    seeds = frozenset(int(seed) for keys in index["rows"].values() for seed in keys)
    return Indexed(seeds, frozenset(index["tables"]))


def write_index(
    workspace: Workspace, planned: Iterable[Job], scope: Scope, tables: Sequence[str], command: str, any_code: bool
) -> None:
    """Note which result is of which row and seed, among ``planned``: all rows there are.

    What was noted before under other settings is dropped.

    Args:
        tables: keys of the tables that the page shows.
    """
    rows: dict[str, dict[str, str]] = {}
    for job in planned:
        if job.is_done(workspace.results, any_code):
            rows.setdefault(job.row, {})[str(job.seed)] = job.key
    index = {
        "shop": workspace.name,
        "command": command,
        "validation_days": scope.validation_days,
        "changes": dict(scope.changes),
        "tables": list(tables),
        "rows": rows,
    }
    write_json(workspace.root / INDEX, index)


def read_index(folder: Path) -> Mapping[str, Any] | None:
    """The index under a shop's ``ablations`` folder, None where there is none."""
    path = folder / INDEX
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
