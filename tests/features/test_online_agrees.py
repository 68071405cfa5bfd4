"""What the server makes of a row is what the nightly run makes of it: persons, actions and times."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.json_macros import create_macros
from infra.settings import GUEST_IDS, RawSettings

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
