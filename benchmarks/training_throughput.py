"""Examples per second of the training loop against the same steps on a batch kept in memory, and peak memory.

    python -m benchmarks.training_throughput [--shop demo] [--times 1 10] [--steps 60]

Reads the training set in place (``shelfwise run`` made it). ``--times 10`` repeats every request, its rows and its
events under other query ids: as many sessions again of the same users and queries. The two kinds of steps take turns,
so that what else the machine does slows both. They are steps of the end of the schedule, with all sources of negatives
that the recipe has. Milliseconds depend on the machine: read the ratio (aim: at least 0.9) and how the figures move
with the sessions. Peak memory has the pages of mapped files in it, which the system can take back; private memory has
not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psutil
import torch

from benchmarks.ablations.workspace import link
from infra.contract.partitions import table_files, write_json
from infra.settings import Settings, get_settings
from orchestration.cli import use_shop
from training.data.array_builder import META, build_arrays, fingerprint_of
from training.data.arrays import Arrays, prepare_arrays
from training.data.batches import Batch, BatchMaker
from training.data.prefetch import PREFETCHED, prefetched
from training.losses.objective import Objective
from training.run.new_towers import new_towers
from training.run.step import TrainingStep
from training.run.trainer import click_share_of

ROOT = Path(__file__).parents[1]
BLOCK = 10
"""Steps of one kind in a row."""
LAST = 1
"""Number of each step, and of steps in all: the schedule is at its end."""
REPEATED = ("training_set/requests", "training_set/rows", "sessions/requests", "sessions/events")
HEAD = ("sessions", "requests", "edges", "loop", "in memory", "ratio", "peak", "private", "arrays", "arrays' peak")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where the loop is slower than 0.9 of the steps on a batch in memory."""
    given = _parser().parse_args(arguments)
    settings = use_shop(given.data, given.shop)
    root = settings.paths.root / "throughput"
    sizes = []
    for times in given.times:
        home = root / f"x{times}"
        _repeat_sessions(settings, home, times)
        built = _in_process("build", home, settings, given.steps)
        sizes.append({"times": times, "arrays": built, **_in_process("steps", home, settings, given.steps)})
        shutil.rmtree(home)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    result: dict[str, Any] = {"shop": settings.shop_name, "machine": machine, "recipe": settings.training.recipe}
    result |= {
        "sizes": sizes,
        "batch_size": settings.training.batch_size,
        "threads": settings.training.threads,
        "steps": given.steps,
    }
    write_json(root / "result.json", result)
    print(_table(sizes))
    print(f"{machine}; {result['threads']} threads; written to {root / 'result.json'}")
    return int(min(size["ratio"] for size in sizes) < 0.9)


def _repeat_sessions(settings: Settings, home: Path, times: int) -> None:
    """A home whose shop has each request of ``settings``'s ``times`` times."""
    shutil.rmtree(home, ignore_errors=True)
    source, target = settings.paths.root, home / settings.shop_name
    for name in ("features", "catalog"):
        link(target / name, source / name)
    if (source / "training" / "text_encoder").exists():
        link(target / "training" / "text_encoder", source / "training" / "text_encoder")
    (settings.home.expanduser().resolve() / "cache").mkdir(exist_ok=True)
    link(home / "cache", settings.home.expanduser().resolve() / "cache")
    with duckdb.connect() as db:
        db.execute("SET TimeZone='UTC'")
        for name in REPEATED:
            for file in table_files(source / name):
                out = target / file.relative_to(source)
                out.parent.mkdir(parents=True, exist_ok=True)
                db.execute(
                    f"""
                    COPY (SELECT rows.* REPLACE (query_id || '#' || copy AS query_id)
                          FROM read_parquet(?, hive_partitioning = false) rows, range({times}) copies(copy))
                    TO ? (FORMAT parquet)
                    """,
                    [str(file), str(out)],
                )
    for name in ("items.parquet", "item_features.parquet", "split.json"):
        shutil.copy(settings.paths.training_set / name, target / "training_set" / name)


def _in_process(what: str, home: Path, settings: Settings, steps: int) -> dict[str, Any]:
    """What a process of its own measures: peak memory is a process's."""
    environment = os.environ | {"SHELFWISE_HOME": str(home), "SHELFWISE_SHOP": settings.shop_name}
    environment.pop("SHELFWISE_LANDING", None)
    command = [sys.executable, "-c", f"from benchmarks.training_throughput import {what}; {what}({steps})"]
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def build(_: int = 0) -> None:
    """Build the arrays, and embed what the text encoder reads; print seconds and peak memory as JSON."""
    settings = get_settings()
    target, started = settings.paths.training / "arrays", time.perf_counter()
    if not (target / META).exists():
        build_arrays(settings, target, fingerprint_of(settings))
    found = {"seconds": time.perf_counter() - started, "peak_bytes": _peak()}
    prepare_arrays(settings)
    print(json.dumps(found))


def steps(count: int) -> None:
    """Take ``count`` steps of each kind; print what was measured as JSON."""
    settings = get_settings()
    arrays, training = prepare_arrays(settings), settings.training
    torch.set_num_threads(training.threads)
    torch.manual_seed(training.seed)
    device = torch.device("cuda" if torch.cuda.is_available() and training.device != "cpu" else "cpu")
    examples = np.flatnonzero((arrays.clicked.lengths > 0) & ~arrays.is_validation)
    towers = new_towers(training, arrays).to(device).train()
    objective = Objective(training, torch.from_numpy(click_share_of(arrays, examples)).to(device), arrays.items)
    step = TrainingStep(towers, objective, training, LAST, device)
    maker = BatchMaker(arrays, towers.config, training)
    size = min(training.batch_size, len(examples))
    loop, memory = _turns(step, maker, examples, size, count)
    found = {
        "examples_per_second": size * len(loop) / sum(loop),
        "in_memory_per_second": size * len(memory) / sum(memory),
        "ratio": sum(memory) / len(memory) / (sum(loop) / len(loop)),
        "step_ms": {"loop": _milliseconds(loop), "memory": _milliseconds(memory)},
        "peak_bytes": _peak(),
        "private_bytes": _private(),
        "device": str(device),
    }
    print(json.dumps(found | _sizes(arrays)))


def _turns(
    step: TrainingStep, maker: BatchMaker, examples: np.ndarray, size: int, count: int
) -> tuple[list[float], list[float]]:
    """Seconds of each step of the loop, and of each step on a batch in memory."""
    loop: list[float] = []
    memory: list[float] = []
    for block in range(-1, -(-count // BLOCK)):
        ahead = PREFETCHED + 1
        # What was made while the other kind had its turn would come for nothing: those steps are not timed.
        batches = prefetched(maker.epoch(examples, block + 1, BLOCK + ahead))
        for _ in islice(_timed(step, batches), ahead):
            pass
        taken = list(_timed(step, batches))
        kept = maker.make(np.sort(maker.order(examples, block + 1)[:size]), block + 1)
        repeated = list(_timed(step, iter([kept] * BLOCK)))
        if block >= 0:  # the first turn warms up
            loop += taken
            memory += repeated
    return loop, memory


def _timed(step: TrainingStep, batches: Iterator[Batch]) -> Iterator[float]:
    """Seconds until each step was done, waiting for its batch included."""
    began = time.perf_counter()
    for batch in batches:
        step(batch, LAST).cpu()
        now = time.perf_counter()
        yield now - began
        began = now


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    p50, p90 = np.percentile(seconds, [50, 90]) * 1000
    return {"p50": float(p50), "p90": float(p90)}


def _sizes(arrays: Arrays) -> dict[str, int]:
    return {"requests": len(arrays.request_time), "edges": len(arrays.edges), "items": arrays.items}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _private() -> int:
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


def _table(sizes: Sequence[dict[str, Any]]) -> str:
    rows: list[Sequence[str]] = [HEAD]
    for size in sizes:
        gib = [b / 2**30 for b in (size["peak_bytes"], size["private_bytes"], size["arrays"]["peak_bytes"])]
        speeds = f"{size['examples_per_second']:,.0f}/s", f"{size['in_memory_per_second']:,.0f}/s"
        counts = f"{size['times']}x", f"{size['requests']:,}", f"{size['edges']:,}"
        memory = f"{gib[0]:.2f} GiB", f"{gib[1]:.2f} GiB", f"{size['arrays']['seconds']:.0f} s", f"{gib[2]:.2f} GiB"
        rows.append([*counts, *speeds, f"{size['ratio']:.2f}", *memory])
    return "\n".join("".join(f"{cell:>14}" for cell in row) for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_throughput")
    parser.add_argument("--shop", help="name of the shop")
    parser.add_argument("--data", help="folder of its logs")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10], help="how often the sessions are repeated")
    parser.add_argument("--steps", type=int, default=60, help="steps of each kind")
    return parser


if __name__ == "__main__":
    sys.exit(main())
