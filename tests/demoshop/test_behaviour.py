"""What the logs must show: only what exists is shown and bought, position bias, taste, lost query ids."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from demoshop.clicks import POSITION_DECAY, act
from demoshop.landing import make_landing
from demoshop.queries import ComposedShop, with_typos
from demoshop.randomness import stream
from demoshop.sessions import ANONYMOUS
from demoshop.simulation import LOST_QUERY_IDS, SHOWN, Simulation
from demoshop.tastes import DRIFT
from infra.settings import Settings
from tests.demoshop.small_demo import shop_settings

LOG = """
create view queries as select * from '{landing}/dt=*/ubi_queries.parquet';
create view events as
    select *, event_attributes.object.object_id as item_id, event_attributes.position.ordinal as rank
    from '{landing}/dt=*/ubi_events.parquet';
create view catalog as select * from '{landing}/catalog.parquet';
create view shown as
    select query_id, client_id, cast(timestamp as timestamptz) as time, user_query,
           unnest(query_response_hit_ids) as item_id, generate_subscripts(query_response_hit_ids, 1) as rank
    from queries;
"""


def log(settings: Settings) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for statement in LOG.format(landing=settings.paths.landing).split(";"):
        if statement.strip():
            connection.execute(statement)
    return connection


def one(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    row = connection.execute(query).fetchone()
    assert row is not None
    return float(row[0])


def test_items_exist_when_shown(busy: Settings) -> None:
    early = "select count(*) from shown join catalog using (item_id) where created_at > time"
    assert one(log(busy), early) == 0
    assert one(log(busy), "select count(*) from shown anti join catalog using (item_id)") == 0


def test_new_items_are_shown_once_they_exist(busy: Settings) -> None:
    start = f"'{busy.demo.start}'::timestamptz"
    assert one(log(busy), f"select count(*) from shown join catalog using (item_id) where created_at >= {start}") > 0


def test_a_page_shows_an_item_once(busy: Settings) -> None:
    assert one(log(busy), "select count(*) - count(distinct (query_id, item_id)) from shown") == 0


def test_only_shown_items_are_clicked_and_bought(busy: Settings) -> None:
    known = """
        select count(*) from events where query_id is not null
        and (query_id, item_id, rank) not in (select query_id, item_id, rank from shown)"""
    assert one(log(busy), known) == 0
    unknown = """
        select count(*) from events e where query_id is null and not exists (
            select 1 from shown s where s.client_id = e.client_id and s.item_id = e.item_id
            and s.time <= e.timestamp::timestamptz and s.time >= e.timestamp::timestamptz - interval 2 hour)"""
    assert one(log(busy), unknown) == 0


def test_every_order_follows_a_cart_and_every_cart_a_click(busy: Settings) -> None:
    for later, earlier in (("purchase", "add_to_cart"), ("add_to_cart", "click")):
        orphans = f"""
            select count(*) from events l where action_name = '{later}' and not exists (
                select 1 from events e where e.action_name = '{earlier}' and e.session_id = l.session_id
                and e.item_id = l.item_id and e.timestamp <= l.timestamp)"""
        assert one(log(busy), orphans) == 0


def test_some_carts_and_orders_do_not_know_their_query(busy: Settings) -> None:
    share = "select avg((query_id is null)::int) from events where action_name {}"
    assert one(log(busy), share.format("= 'click'")) == 0
    assert one(log(busy), share.format("<> 'click'")) == pytest.approx(LOST_QUERY_IDS, abs=0.05)


def test_some_users_never_log_in(busy: Settings) -> None:
    users = (
        "select avg(anonymous) from (select (max(user_id) is null)::int as anonymous from queries group by client_id)"
    )
    assert one(log(busy), users) == pytest.approx(ANONYMOUS, abs=0.06)


def test_sessions_cross_midnight(busy: Settings) -> None:
    crossing = (
        "select count(*) from (select session_id from events group by 1 having count(distinct timestamp[:10]) > 1)"
    )
    assert one(log(busy), crossing) > 0


def test_clicks_fall_with_rank(busy: Settings) -> None:
    by_rank = "select count(*) from events where action_name = 'click' group by rank order by rank"
    clicks = np.array(log(busy).execute(by_rank).fetchall())[:, 0]
    assert len(clicks) == SHOWN
    assert clicks[0] > clicks[1:3].mean() > clicks[5:8].mean() > clicks[15:].mean()


def test_position_bias_at_equal_relevance_and_taste() -> None:
    pages = np.ones((40_000, 10), np.float32)
    actions = act(stream(1, "clicks"), pages, pages, pages, np.zeros(len(pages), np.int64))
    clicks = np.bincount(actions.rank[actions.kind == 0])
    assert clicks / clicks[0] == pytest.approx(np.arange(1, 11) ** -POSITION_DECAY, abs=0.03)


def clicks_by_taste(settings: Settings) -> tuple[float, float]:
    """Clicks per fitting impression of the items that users like best and least, over some simulated pages."""
    shop = ComposedShop(settings.demo)
    simulation = Simulation(settings.demo, shop, settings.demo.users)
    items = {item: row for row, item in enumerate(shop.items.ids.to_pylist())}
    clicked = set(log(settings).execute("select query_id, item_id from events where action_name = 'click'").fetchall())
    folder = settings.paths.truth / "requests" / f"dt={settings.demo.start}" / "part.parquet"
    rows = (
        log(settings)
        .execute(
            "select s.query_id, s.item_id, t.user from shown s join read_parquet(?) t using (query_id) "
            "join catalog c using (item_id) join read_parquet(?) i using (item_id) "
            "where i.shelf = t.meant[2] and t.meant[1] in (2, 3) and s.rank <= 10",
            [str(folder), str(settings.paths.truth / "items.parquet")],
        )
        .fetchall()
    )
    users = np.array([r[2] for r in rows], np.int32)
    shown = np.array([[items[r[1]]] for r in rows], np.int32)
    taste = simulation.tastes.match(users, shop.items, shown)[:, 0]
    hit = np.array([(r[0], r[1]) in clicked for r in rows])
    low, high = np.quantile(taste, (0.3, 0.7))
    return float(hit[taste >= high].mean()), float(hit[taste <= low].mean())


def test_users_click_what_they_like(busy: Settings, tmp_path: Path) -> None:
    liked, disliked = clicks_by_taste(busy)
    assert liked > 2 * disliked
    indifferent = shop_settings(tmp_path, **(busy.demo.model_dump() | {"taste_strength": 0.0, "days": 1}))
    make_landing(indifferent)
    liked, disliked = clicks_by_taste(indifferent)
    assert liked < 1.4 * disliked


def test_tastes_drift_slowly(busy: Settings) -> None:
    shop = ComposedShop(busy.demo)
    tastes = Simulation(busy.demo, shop, 300).tastes
    before = tastes.vectors.copy()
    for _ in range(10):
        tastes.advance()
    likeness = np.corrcoef(before.ravel(), tastes.vectors.ravel())[0, 1]
    assert likeness == pytest.approx((1 - DRIFT) ** 5, abs=0.03)
    assert tastes.vectors.std() == pytest.approx(1, abs=0.03)


def test_typing_errors_have_their_share() -> None:
    texts = pa.repeat("waterproof boots", 4000)
    changed = sum(t != "waterproof boots" for t in with_typos(stream(1, "typos"), texts, 0.05).to_pylist())
    assert 0.03 < changed / 4000 < 0.06
