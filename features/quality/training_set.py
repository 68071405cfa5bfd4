"""Checks of the stage-labelled training set, on all rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from features.engine import open_engine, read_catalog, read_days
from features.quality.results import SuiteResult
from features.quality.rules import Between, Rule, Suite, none_of
from features.quality.tables import any_null, counts
from features.quality.validation import validate
from features.stages import available_items
from infra.contract import tables
from infra.contract.partitions import written_days
from infra.settings import CheckSettings, Settings

KEY = "table"
SPLITS = ("train", "validation")
REQUEST_COLUMNS = ("query_id", "query", "time", "split")
ROW_COLUMNS = ("query_id", "item_id", "time", "split", "stage", "clicked", "carted", "ordered")
"""Columns that are never null. A request without a user is in order."""
LABELS = pa.schema([tables.TRAINING_REQUESTS.field(name) for name in REQUEST_COLUMNS])
"""What is judged of a request: its features are judged where they are made."""


def check_training_set(settings: Settings) -> SuiteResult:
    """Judge the training set: stage containment, shares of the stages, the split in time, ids. All rows are counted."""
    return validate(settings, training_suite(settings.checks), training_measures(settings), "training set")


def training_suite(checks: CheckSettings) -> Suite:
    """The rules on a training set."""
    rules: list[Rule] = []
    for split in SPLITS:
        rules += [
            Between(f"{split}_requests", f"{split}: has requests", low=1),
            Between(
                f"{split}_labelled",
                f"{split}: some rows are clicked or ordered (without any there is nothing to learn from)",
                low=1,
            ),
            Between(
                f"{split}_unclicked_share",
                f"{split}: share of unclicked among shown items, where the log has impressions",
                low=checks.min_unclicked_share,
            ),
        ]
    return Suite(
        "training_set",
        KEY,
        (
            *rules,
            none_of("ordered_not_clicked", "Containment: ordered is within clicked"),
            none_of("carted_not_clicked", "Containment: carted is within clicked"),
            none_of("stage_differs", "The stage is the deepest that its flags say"),
            none_of("random_clicked", "A random row is not clicked, carted or ordered"),
            none_of("random_in_request", "A random item is no item that its request clicked"),
            none_of("random_unavailable", "A random item was in the catalogue at the request's time"),
            none_of("train_outside", "Split in time: train requests are before the cut and after the window's start"),
            none_of("validation_outside", "Split in time: validation requests are at or after the cut"),
            none_of("split_unknown", f"A split is {' or '.join(SPLITS)}"),
            none_of("rows_differ", "A row has its request's time and split"),
            none_of("rows_without_request", "Each row belongs to a request of the set"),
            none_of("requests_repeated", "A request occurs once"),
            none_of("rows_repeated", "An item occurs once in a request, apart from random draws"),
            Between("unknown_item_share", "Share of rows of unknown items", high=1 - checks.min_known_item_share),
            none_of("requests_with_nulls", f"requests: {', '.join(REQUEST_COLUMNS)} are there"),
            none_of("rows_with_nulls", f"rows: {', '.join(ROW_COLUMNS)} are there"),
            none_of("rates_outside", "rows: known rates are between 0 and 1"),
            none_of("counts_negative", "rows: known counts are not negative"),
        ),
    )


def training_measures(settings: Settings) -> pd.DataFrame:
    """One row of counts over all requests and rows of the training set."""
    split = _split(settings)
    with open_engine(settings) as backend:
        requests = _read(backend, settings, "requests", LABELS)
        rows = _read(backend, settings, "rows", tables.TRAINING_ROWS)
        shown = settings.paths.sessions / "impressions"
        impressions = read_days(backend, shown, written_days(shown), tables.IMPRESSIONS)
        items = available_items(read_catalog(backend, settings), impressions)
        row = {
            **_request_measures(requests, split),
            **_stage_measures(rows, shown=bool(impressions.count().execute())),
            **_row_measures(rows),
            **_request_of_row(rows, requests),
            **_catalog_measures(rows, items),
            "random_in_request": _random_in_request(rows),
            "rows_repeated": _repeated(rows),
        }
    return pd.DataFrame([{KEY: "training set", **row}])


def _split(settings: Settings) -> dict[str, datetime]:
    """The windows that the set says it has; its file is written last, so without it there is no whole set."""
    path = settings.paths.training_set / "split.json"
    if not path.exists():
        raise FileNotFoundError(f"no training set at {path.parent}: build the training set before its checks")
    written = json.loads(path.read_text(encoding="utf-8"))
    return {name: datetime.fromisoformat(written[name]) for name in ("train_start", "cut", "end")}


def _read(backend: Any, settings: Settings, name: str, fields: pa.Schema) -> Any:
    table = settings.paths.training_set / name
    return read_days(backend, table, written_days(table), fields)


def _request_measures(requests: Any, split: Mapping[str, datetime]) -> dict[str, Any]:
    train, validation = requests.split == "train", requests.split == "validation"
    return counts(
        requests,
        train_requests=requests.count(where=train),
        validation_requests=requests.count(where=validation),
        split_unknown=requests.split.notin(SPLITS).sum().fill_null(0),
        train_outside=_outside(requests, train, split["train_start"], split["cut"]),
        validation_outside=_outside(requests, validation, split["cut"], split["end"]),
        requests_repeated=requests.query_id.count() - requests.query_id.nunique(),
        requests_with_nulls=any_null(requests, REQUEST_COLUMNS).sum().fill_null(0),
    )


def _outside(requests: Any, of_split: Any, begin: datetime, end: datetime) -> Any:
    """Requests of a split outside [begin, end)."""
    return requests.count(where=of_split & ((requests.time < begin) | (requests.time >= end)))


def _stage_measures(rows: Any, shown: bool) -> dict[str, Any]:
    """Rows per split with a label, the share of unclicked, and rows whose flags and stage do not agree."""
    labelled = rows.clicked | rows.ordered
    drawn = rows.stage == "random"
    deepest = ibis.cases(
        (rows.ordered, "ordered"), (rows.carted, "carted"), (rows.clicked, "clicked"), else_="unclicked"
    )
    marked = rows.clicked | rows.carted | rows.ordered
    found = counts(
        rows,
        **{f"{split}_labelled": rows.count(where=(rows.split == split) & labelled) for split in SPLITS},
        **{
            f"{split}_unclicked_share": (rows.stage == "unclicked").mean(where=(rows.split == split) & ~drawn)
            for split in SPLITS
        },
        ordered_not_clicked=rows.count(where=rows.ordered & ~rows.clicked),
        carted_not_clicked=rows.count(where=rows.carted & ~rows.clicked),
        stage_differs=rows.count(where=~drawn & (rows.stage != deepest)),
        random_clicked=rows.count(where=drawn & marked),
    )
    if not shown:
        found |= {f"{split}_unclicked_share": float("nan") for split in SPLITS}
    return found


def _row_measures(rows: Any) -> dict[str, Any]:
    whole = [field.name for field in tables.TRAINING_ROWS if field.name.endswith(("_7d", "_30d"))]
    rates = [rows.click_rate, rows.order_rate]
    return counts(
        rows,
        rows_with_nulls=any_null(rows, ROW_COLUMNS).sum().fill_null(0),
        rates_outside=rows.count(where=ibis.or_(*(~rate.between(0, 1) for rate in rates)).fill_null(False)),
        counts_negative=rows.count(where=ibis.or_(*(rows[name].fill_null(0) < 0 for name in whole))),
    )


def _request_of_row(rows: Any, requests: Any) -> dict[str, Any]:
    asked = requests.select("query_id", asked_split="split", asked_time="time").distinct(on="query_id")
    joined = rows.left_join(asked, "query_id")
    differs = (joined.split != joined.asked_split) | (joined.time != joined.asked_time)
    return counts(
        joined,
        rows_without_request=joined.count(where=joined.asked_split.isnull()),
        rows_differ=joined.count(where=differs.fill_null(False)),
    )


def _catalog_measures(rows: Any, catalog: Any) -> dict[str, Any]:
    joined = rows.left_join(catalog.mutate(known=True), "item_id")
    absent = joined.known.isnull() | (joined.available_from > joined.time)
    return counts(
        joined,
        unknown_item_share=joined.known.isnull().mean(),
        random_unavailable=joined.count(where=(joined.stage == "random") & absent),
    )


def _random_in_request(rows: Any) -> int:
    clicked = rows.filter(rows.clicked & (rows.stage != "random")).select("query_id", "item_id")
    drawn = rows.filter(rows.stage == "random")
    return int(drawn.semi_join(clicked, ["query_id", "item_id"]).count().execute())


def _repeated(rows: Any) -> int:
    shown = rows.filter(rows.stage != "random")
    return int(shown.count().execute()) - int(shown.select("query_id", "item_id").distinct().count().execute())
