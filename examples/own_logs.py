"""From logs of your own to hits: ``python examples/own_logs.py [FOLDER]``.

Makes a catalogue and four days of UBI logs, as your shop's backend would write them, runs the whole loop over them on
small settings, and asks the live release. With a folder of yours in the place of ``write_logs`` it is the same.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

COLOURS = ("red", "blue", "green", "black")
KINDS = ("sofa", "lamp", "table", "chair", "rug")
DAYS, USERS, REQUESTS = 4, 60, 150
SMALL = {
    "SHELFWISE_TRAINING__TEXT_ENCODER": "none",
    "SHELFWISE_TRAINING__TEXT_IN_QUERY": "false",
    "SHELFWISE_TRAINING__EPOCHS": "2",
    "SHELFWISE_TRAINING__BUCKETS": "8192",
    "SHELFWISE_TRAINING__BATCH_SIZE": "64",
}


def write_logs(folder: Path, first: datetime) -> None:
    """``catalog.parquet`` and, per day, ``ubi_queries.parquet`` and ``ubi_events.parquet``."""
    draw = random.Random(7)
    items = [
        {"item_id": f"i{n}", "title": f"{colour} {kind} {n}", "category_path": f"Home > {kind}", "price": 10.0 + n % 90}
        for n, (colour, kind) in enumerate((c, k) for c in COLOURS for k in KINDS for _ in range(15))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(items), folder / "catalog.parquet")
    for day in range(DAYS):
        queries, events = [], []
        for n in range(REQUESTS):
            person = draw.randrange(USERS)
            colour, kind = COLOURS[person % len(COLOURS)], draw.choice(KINDS)
            time = first + timedelta(days=day, minutes=9 * n)
            of_kind = [item for item in items if f" {kind} " in item["title"]]
            shown = draw.sample(of_kind, 10)
            query = {
                "query_id": f"q{day}-{n}",
                "user_id": f"u{person}",
                "client_id": f"c{person}",
                "user_query": kind,
                "timestamp": time.isoformat(),
                "query_response_hit_ids": [item["item_id"] for item in shown],
            }
            queries.append(query)
            liked = [item for item in shown if item["title"].startswith(colour)] or shown[:1]
            for after, action in enumerate(("click", "purchase") if draw.random() < 0.6 else ("click",), start=1):
                event = {
                    "action_name": action,
                    "query_id": query["query_id"],
                    "user_id": query["user_id"],
                    "client_id": query["client_id"],
                    "timestamp": (time + timedelta(minutes=after)).isoformat(),
                    "event_attributes": {"object": {"object_id": liked[0]["item_id"]}},
                }
                events.append(event)
        place = folder / f"dt={first + timedelta(days=day):%Y-%m-%d}"
        place.mkdir()
        pq.write_table(pa.Table.from_pylist(queries), place / "ubi_queries.parquet")
        pq.write_table(pa.Table.from_pylist(events), place / "ubi_events.parquet")


def main(folder: Path) -> None:
    """Write logs into ``folder``, run the loop over them, print hits."""
    write_logs(folder / "logs", datetime(2026, 3, 1, 8, tzinfo=UTC))
    for name, value in {**SMALL, "SHELFWISE_HOME": str(folder), "SHELFWISE_LANDING": str(folder / "logs")}.items():
        os.environ.setdefault(name, value)

    import serving  # after the environment, which it reads
    from infra.settings import get_settings
    from orchestration.loop import run_loop
    from orchestration.partitions import choose_days
    from orchestration.releases import make_live, release_statuses

    outcome = run_loop(choose_days(None))
    for failure in outcome.failures:
        print("Blocked:", failure)
    if not outcome.success:  # so few orders may not beat BM25; a shop of yours should find out why before it forces
        make_live(get_settings(), release_statuses(get_settings())[0].id, force=True)
    answer = serving.retrieve("u1", "sofa", k=5)
    for hit in answer.hits:
        print(f"{hit.score:.3f}  {hit.item_id}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
