"""The demo shop's requests as the log and the hidden truth tell them, for evaluation only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demoshop.queries import MEANT
from demoshop.randomness import Bools, Ints, Longs
from demoshop.shop import Asked
from infra.contract.partitions import day_folder, partition_file, written_days
from infra.settings import Settings


@dataclass(frozen=True)
class LoggedRequests:
    """Requests [R] in order of time, of one page length K."""

    ids: pa.Array
    text: pa.Array
    day: Longs
    """Of the session's begin, from 0: whose tastes clicked."""
    time: Longs
    """Microseconds since 1970."""
    user: Ints
    meant: Ints
    """Hidden codes in the order of ``MEANT``, [R, 7]."""
    shown: Ints
    """Rows of items, [R, K]."""
    clicked: Bools
    carted: Bools
    """[R, K]."""
    ordered: Longs
    """Row of the item that was bought, -1 for none."""

    def __len__(self) -> int:
        return len(self.day)

    def part(self, rows: Longs | Bools | slice) -> Self:
        """Some of the requests."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        kept = pa.array(np.arange(len(self))[rows])
        return type(self)(**{n: c.take(kept) if isinstance(c, pa.Array) else c[rows] for n, c in columns.items()})

    @property
    def asked(self) -> Asked:
        """What they ask for."""
        return Asked(self.text, dict(zip(MEANT, self.meant.T, strict=True)))


def read_requests(settings: Settings, item_ids: pa.Array) -> LoggedRequests:
    """All requests of the landing folder, with what was meant by them.

    Raises:
        FileNotFoundError: there is no truth of that folder's days.
    """
    days = written_days(settings.paths.truth / "requests")
    if not days:
        raise FileNotFoundError(f"no hidden truth under {settings.paths.truth}: run the demo shop first")
    truth = pa.concat_tables([_truth_of(settings, day) for day in days])
    # A late session's requests lie in the next day's folder.
    queries, events = (
        pa.concat_tables([pq.read_table(day_folder(settings.paths.landing, day) / f"{name}.parquet") for day in days])
        for name in ("ubi_queries", "ubi_events")
    )
    place = pc.index_in(queries["query_id"], truth["query_id"].combine_chunks())
    rows = queries.append_column("at", microseconds(queries["timestamp"]))
    for name in ("day", "user", "meant", "ordered_item"):
        rows = rows.append_column(name, truth[name].combine_chunks().take(place.combine_chunks()))
    rows = rows.sort_by([("at", "ascending"), ("query_id", "ascending")]).combine_chunks()
    hits = rows["query_response_hit_ids"].combine_chunks()
    shown = pc.index_in(hits.flatten(), item_ids).to_numpy().astype(np.int32).reshape(len(rows), -1)
    ids = rows["query_id"].combine_chunks()
    clicked, carted = _acted(ids, rows["client_id"], shown, events, item_ids)
    return LoggedRequests(
        ids=ids,
        text=rows["user_query"].combine_chunks(),
        day=rows["day"].to_numpy(),
        time=rows["at"].to_numpy(),
        user=rows["user"].to_numpy(),
        meant=rows["meant"].combine_chunks().flatten().to_numpy().reshape(len(rows), len(MEANT)),
        shown=shown,
        clicked=clicked,
        carted=carted,
        ordered=pc.fill_null(pc.index_in(rows["ordered_item"], item_ids), -1).to_numpy().astype(np.int64),
    )


def microseconds(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as the log writes them, in microseconds since 1970."""
    plain = pc.utf8_rtrim(texts, "Z")
    return plain.cast(pa.timestamp("us")).cast(pa.int64())


def _truth_of(settings: Settings, day: date) -> pa.Table:
    table = pq.read_table(partition_file(settings.paths.truth / "requests", day))
    number = (day - settings.demo.start).days
    return table.append_column("day", pa.array(np.full(len(table), number, np.int64)))


def _acted(
    ids: pa.Array, clients: pa.ChunkedArray, shown: Ints, events: pa.Table, item_ids: pa.Array
) -> tuple[Bools, Bools]:
    """Which items shown were clicked and carted, [R, K] each.

    A cart that does not know its query belongs to its client's last click on the item.
    """
    item = pc.struct_field(events["event_attributes"], ["object", "object_id"])
    people = pc.unique(clients)
    told = {
        "request": pc.fill_null(pc.index_in(events["query_id"], ids), -1).to_numpy().astype(np.int64),
        "item": pc.fill_null(pc.index_in(item, item_ids), -1).to_numpy().astype(np.int64),
        "client": pc.fill_null(pc.index_in(events["client_id"], people), -1).to_numpy().astype(np.int64),
        "time": microseconds(events["timestamp"]).to_numpy() // 1000,
    }
    click, cart = (
        {name: column[pc.equal(events["action_name"], kind).to_numpy()] for name, column in told.items()}
        for kind in ("click", "add_to_cart")
    )
    begin = int(told["time"].min(initial=0))
    span = int(told["time"].max(initial=0)) - begin + 1

    def key(of: dict[str, Longs]) -> Longs:
        return (of["client"] * len(item_ids) + of["item"]) * span + of["time"] - begin

    order = np.argsort(key(click), kind="stable")
    before = np.searchsorted(key(click)[order], key(cart), side="right") - 1
    last = order[np.maximum(before, 0)] if len(order) else np.zeros(len(before), np.int64)
    if len(order):
        cart["request"] = np.where(cart["request"] >= 0, cart["request"], click["request"][last])
    return tuple(_marked(of["request"], of["item"], shown) for of in (click, cart))  # type: ignore[return-value]


def _marked(request: Longs, item: Longs, shown: Ints) -> Bools:
    """Where the items stand on the pages of their requests, [R, K]."""
    known = request >= 0
    request, at = request[known], shown[request[known]] == item[known, None]
    row, place = np.nonzero(at)
    marked = np.zeros(shown.shape, np.bool_)
    marked[request[row], place] = True
    return marked


def last_days(requests: LoggedRequests, days: int) -> Bools:
    """The requests of the last days, [R]."""
    mask: Bools = requests.day > requests.day.max(initial=0) - days
    return mask


def with_ids(requests: LoggedRequests, ids: Sequence[str] | pa.Array) -> Bools:
    """The requests of these ids, [R]."""
    return np.asarray(pc.is_in(requests.ids, value_set=pa.array(ids, pa.string())).to_numpy(zero_copy_only=False))
