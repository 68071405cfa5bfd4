"""What a release of many items costs to load and to ask: memory, start and latency of a fresh process.

    python -m benchmarks.large_release [items] [requests]

The items are made: those of the live release of this shop over and over, each with an id of its own and its vectors
moved a little, so that no two are alike; towers, ranker and graph are the live release's. It is written, read back and
searched by what writes, loads and searches any release, into a folder that goes at the end; live stays what it is.
Nobody in particular asks: Redis is not needed. Each process is a :mod:`benchmarks.loaded_release`, with the peer.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from benchmarks.serving_latency import latest_requests
from infra.settings import Settings, get_settings
from serving.index.aliases import last_known_live
from serving.index.kinds import usual_choice
from training.data.ragged import Ragged
from training.ranking.bm25 import LEXICAL_FIELDS, Bm25, catalog_text
from training.release.items import write_items
from training.release.manifest import GRAPH, INDEX, ITEM_NUMERIC, ITEM_TEXT, LEXICAL, MANIFEST
from training.release.release import Release, load_release
from training.release.writer import write_whole

MOVED = 0.05
"""Standard deviation of what is added to each entry of a unit vector, times the root of its width."""


def main(items: int = 1_000_000, requests: int = 300) -> None:
    settings = get_settings()
    live = last_known_live(settings)
    if live is None:
        sys.exit("nothing is live: run the shop first (`shelfwise run`)")
    with tempfile.TemporaryDirectory(dir=settings.home) as folder:
        began = time.perf_counter()
        made = make_release(
            settings.model_copy(update={"home": Path(folder)}), load_release(settings.paths.releases / live), items
        )
        megabytes = sum(file.stat().st_size for file in made.rglob("*") if file.is_file()) / 2**20
        print(f"{items:,} items: {megabytes:,.0f} MiB, made in {time.perf_counter() - began:.0f} s", flush=True)
        asked = Path(folder) / "asked.json"
        asked.write_text(json.dumps([query for _, query in latest_requests(settings, requests)]))
        for state in ("index built", "index kept"):
            print(f"-- a fresh process, {state}", flush=True)
            subprocess.run(
                [sys.executable, "-m", "benchmarks.loaded_release", folder, made.name, str(asked)], check=True
            )


def make_release(settings: Settings, live: Release, items: int) -> Path:
    """Write a release of so many made items; its folder."""
    rows = np.arange(items) % len(live.items.ids)
    rng = np.random.default_rng(settings.training.seed)

    def write(folder: Path) -> None:
        shutil.copytree(live.manifest.path, folder, dirs_exist_ok=True)
        (folder / MANIFEST).unlink()
        copies = np.arange(items) // len(live.items.ids)
        own = pc.binary_join_element_wise(
            pa.array(live.items.ids).take(pa.array(rows)), pa.array(copies).cast(pa.string()), "-"
        )
        at = live.items.table.column_names.index("item_id")
        catalog = live.items.table.take(pa.array(rows)).set_column(at, "item_id", own)
        write_items(folder / live.manifest.item_file.name, catalog)
        quality = len(live.manifest.config["boosting"]["weights"])
        save_file({"vectors": _moved(live.items.vectors, rows, rng, quality)}, folder / "item_vectors.safetensors")
        for name, key in ((ITEM_NUMERIC, "numeric"), (ITEM_TEXT, "vectors")):
            if (folder / name).exists():
                save_file({key: load_file(live.manifest.path / name)[key][rows]}, folder / name)
        _repeat_tokens(live.manifest.path / "item_tokens.safetensors", rows, folder)
        for part in (LEXICAL, GRAPH):
            shutil.rmtree(folder / part)
        texts = catalog_text(catalog, LEXICAL_FIELDS)
        Bm25(texts, live.sources.lexical.language).save(folder / LEXICAL)
        live.sources.graph.with_items(items - len(live.items.ids)).save(folder / GRAPH)
        choice = usual_choice("PQ_FASTSCAN", items).to_json()
        (folder / INDEX).write_text(json.dumps({"chosen": {**choice, "recall_loss": {}}}))

    return write_whole(settings, write)


def _moved(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], rng: np.random.Generator, quality: int
) -> NDArray[np.float32]:
    """The vectors at ``rows`` with noise, of their length again; the ``quality`` entries behind stay."""
    found = vectors[rows]
    unit = found[:, : found.shape[1] - quality]
    unit += rng.standard_normal(unit.shape, dtype=np.float32) * np.float32(MOVED / np.sqrt(unit.shape[1]))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return found


def _repeat_tokens(file: Path, rows: NDArray[np.int64], folder: Path) -> None:
    stored = load_file(file)
    out: dict[str, NDArray[np.integer]] = {}
    for group in {name.rpartition(".")[0] for name in stored}:
        taken = Ragged(stored[f"{group}.offsets"], stored[f"{group}.ids"]).take(rows)
        out |= {f"{group}.offsets": taken.offsets, f"{group}.ids": taken.ids}
    save_file(out, folder / file.name)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
