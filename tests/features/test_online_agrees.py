"""What the server makes of a row is what the nightly run makes of it: persons, actions and times."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.json_macros import create_macros
from features.screening import open_baskets
from infra.settings import ACTIONS, GUEST_IDS, Meaning, RawSettings
from serving.ubi_log.intake import RowError, read_time

RAW = RawSettings(guest_ids=("Visitor", *GUEST_IDS[:3]))
NAMES = st.sampled_from([*RAW.guest_ids, "none", "NaN", "undefined", "u1", "", "0001"])
CASES = st.sampled_from([str.lower, str.upper, str.title])
IDS = st.builds(lambda name, case, pad: f"{pad}{case(name)}{pad}", NAMES, CASES, st.sampled_from(["", " ", "  "]))


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.none() | IDS, st.none() | IDS), min_size=1, max_size=10))
def test_a_row_is_of_the_person_that_the_logs_reader_finds(
    duckdb_engine: Any, rows: list[tuple[str | None, str | None]]
) -> None:
    create_macros(duckdb_engine)
    sent = [[json.dumps(user), json.dumps(client)] for user, client in rows]
    guests = list(RAW.guest_ids)
    read = duckdb_engine.con.execute(
        "SELECT coalesce(as_person(s[1]::JSON, $guests), as_person(s[2]::JSON, $guests))"
        " FROM (SELECT unnest($sent) AS s)",
        {"guests": guests, "sent": sent},
    ).fetchall()
    assert [person for (person,) in read] == [RAW.person(user, client) for user, client in rows]


MEANINGS: st.SearchStrategy[Meaning] = st.sampled_from(["impression", "click", "cart", "order", "ignore"])
LETTERS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@st.composite
def spelt(draw: st.DrawFn, names: st.SearchStrategy[str]) -> str:
    """A name in other cases, with other gaps between its letters."""
    gap = st.sampled_from(["", "", "", " ", "_", "-", "\t", "\u00a0", "--"])
    return "".join(draw(st.sampled_from([c, c.upper(), c.lower()])) + draw(gap) for c in draw(names))


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.data(), st.dictionaries(LETTERS | spelt(st.sampled_from(list(ACTIONS))), MEANINGS, max_size=4))
def test_an_action_means_what_the_nightly_run_takes_it_for(
    duckdb_engine: Any, load: Callable[..., Any], data: st.DataObject, given_actions: dict[str, Meaning]
) -> None:
    raw = RawSettings(actions=given_actions)
    known = spelt(st.sampled_from(list(raw.actions)))
    named = data.draw(st.lists(known | st.sampled_from(list(raw.actions)) | LETTERS, min_size=1, max_size=8))
    columns = {"action": pa.string(), "item_id": pa.string(), "position": pa.int64(), "event_id": pa.string(),
               "basket": pa.list_(pa.struct({"item_id": pa.string(), "position": pa.int64()}))}  # fmt: skip
    rows = [{"action": name, "item_id": "i1", "position": n, "event_id": str(n)} for n, name in enumerate(named)]
    acted = load(duckdb_engine, "acted", pa.Table.from_pylist(rows, pa.schema(columns)))
    opened = open_baskets(acted, raw.actions).order_by("position").to_pyarrow().to_pylist()
    assert [row["kind"] for row in opened] == [raw.meaning(name) for name in named]


MOMENT = datetime(2026, 5, 29, 10, 26, 40, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    "sent",
    [
        *(SECONDS * unit for unit in (1, 10**3, 10**6, 10**9)),
        *(f"{SECONDS * unit}" for unit in (1, 10**3, 10**6, 10**9)),
        f" {SECONDS}000 ",
        f"{SECONDS}.0",
        f"{SECONDS / 1e9}e9",
        "Fri, 29 May 2026 10:26:40 GMT",
        "Friday, 29-May-26 10:26:40 GMT",
        "Fri, 29 May 2026 12:26:40 +0200",
        "2026-05-29T12:26:40+02:00",
        "2026-05-29 10:26:40",
    ],
)
def test_a_time_is_the_one_that_the_logs_reader_finds(duckdb_engine: Any, sent: object) -> None:
    create_macros(duckdb_engine)
    ((read,),) = duckdb_engine.con.execute(
        "SELECT epoch_us(as_time($sent::JSON))", {"sent": json.dumps(sent)}
    ).fetchall()
    assert read_time(sent) == datetime.fromtimestamp(read / 1e6, UTC) == MOMENT


@pytest.mark.parametrize(
    "sent", ["Fri May 29 2026 12:26:40 GMT+0200 (CEST)", "29/May/2026:10:26:40 +0000", "yesterday"]
)
def test_a_time_of_another_form_is_refused_rather_than_read_otherwise(sent: str) -> None:
    with pytest.raises(RowError, match="timestamp"):
        read_time(sent)
