"""Rows that Feast wrote to a real Redis, read without Feast: each is what ``get_online_features`` says of it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.store import OnlineFeatures, materialize
from features.store.definitions import View, views
from features.store.repository import open_store
from features.store.stored_rows import FEAST, LayoutError, StoredRow, StoredRows, check_version
from infra import services
from infra.contract.tables import FEATURE_TABLES, feature_names
from infra.services import redis_address, supervisor
from infra.settings import OnlineSettings, Settings
from tests.features.feature_tables import START, Row, write

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): TEXTS,
    pa.int64(): st.integers(-(2**53), 2**53),  # Feast writes a column with a null by way of floats
    pa.float64(): st.floats(allow_nan=False, width=64),
}
TIMES = st.integers(1, 2**41).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))


class Stores(NamedTuple):
    feast: Any
    redis: Any
    settings: Settings


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), online=OnlineSettings(timeout_ms=2_000))
    address = redis_address(settings)
    redis = address.connect(2_000)
    yield Stores(open_store(settings, address), redis, settings)
    redis.close()
    services.stop_all(settings)
    supervisor.leave_all()


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Anything that a feature of a type can be: null, an empty list and the ends of its range among it."""
    if pa.types.is_list(kind):
        return st.none() | st.lists(SCALARS[kind.value_type], max_size=4)
    return st.none() | SCALARS[kind]


def rows_of(view: View) -> st.SearchStrategy[dict[str, tuple[datetime, dict[str, Any]]]]:
    features = st.fixed_dictionaries({name: values(view.schema.field(name).type) for name in view.features})
    return st.dictionaries(TEXTS, st.tuples(TIMES, features), min_size=1, max_size=4)


def write_by_feast(stores: Stores, view: View, rows: dict[str, tuple[datetime, dict[str, Any]]]) -> None:
    """As a materialization does: the same conversion, the same store."""
    columns: dict[str, Any] = {
        view.key: pa.array(list(rows), pa.string()),
        "event_timestamp": pa.array([time for time, _ in rows.values()], pa.timestamp("us", "UTC")),
        "created": pa.array([START] * len(rows), pa.timestamp("us", "UTC")),
    }
    for name in view.features:
        columns[name] = pa.array([told[name] for _, told in rows.values()], view.schema.field(name).type)
    from feast.utils import _convert_arrow_to_proto

    feature_view = stores.feast.get_feature_view(view.name)
    join_keys = {column.name: column.dtype.to_value_type() for column in feature_view.entity_columns}
    protos = _convert_arrow_to_proto(pa.table(columns), feature_view, join_keys)
    store = stores.feast.provider.online_store
    store.online_write_batch(stores.feast.config, feature_view, protos, None)


def read_by_feast(stores: Stores, view: View, ids: Sequence[str]) -> list[StoredRow | None]:
    """Feast says PRESENT of an unknown entity, with nulls and the time 0."""
    response = stores.feast.get_online_features(
        features=[f"{view.name}:{name}" for name in view.features], entity_rows={view.key: list(ids)}
    )
    names = list(response.proto.metadata.feature_names.val)
    columns = {name: response.proto.results[names.index(name)] for name in view.features}
    found: list[StoredRow | None] = []
    for i in range(len(ids)):
        stamp = columns[view.features[0]].event_timestamps[i]
        told = {name: python(column.values[i], view.schema.field(name).type) for name, column in columns.items()}
        is_known = stamp.seconds or stamp.nanos
        found.append(StoredRow(told, stamp.ToDatetime(tzinfo=UTC)) if is_known else None)
    return found


def python(value: Any, kind: pa.DataType) -> Any:
    which = value.WhichOneof("val")
    if which is None or which == "null_val":
        return () if pa.types.is_list(kind) else 0
    found = getattr(value, which)
    return tuple(found.val) if pa.types.is_list(kind) else found


def read(stores: Stores, view: View, ids: Sequence[str]) -> list[StoredRow | None]:
    rows = StoredRows(stores.settings.project, view)
    with stores.redis.pipeline(transaction=False) as pipeline:
        rows.ask(pipeline, ids)
        return rows.rows(pipeline.execute())


@pytest.mark.parametrize("name", ["user", "query", "item", "item_facts"])
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_each_row_is_what_feast_says_of_it(stores: Stores, name: Any, data: st.DataObject) -> None:
    view = views(stores.settings)[name]
    written = data.draw(rows_of(view))
    write_by_feast(stores, view, written)
    ids = [*written, *data.draw(st.lists(TEXTS, max_size=2)), "nobody"]
    found = read(stores, view, ids)
    assert found == read_by_feast(stores, view, ids)
    assert [row.stamp for row in found[: len(written)] if row] == [time for time, _ in written.values()]
    assert found[-1] is None


def test_what_is_removed_of_one_view_is_unknown(stores: Stores) -> None:
    described = views(stores.settings)
    facts, counts = described["item_facts"], described["item"]
    for view in (facts, counts):
        write_by_feast(stores, view, {"i": (START, dict.fromkeys(view.features, 1))})
    stores.feast.provider.online_store.delete_others(
        stores.feast.config, stores.feast.get_feature_view(counts.name), []
    )
    assert read(stores, counts, ["i"]) == [None] == read_by_feast(stores, counts, ["i"])
    assert read(stores, facts, ["i"]) == read_by_feast(stores, facts, ["i"]) != [None]


def test_a_row_past_its_ttl_is_known_to_redis_and_not_to_a_request(stores: Stores) -> None:
    settings, view = stores.settings, views(stores.settings)["user"]
    write(settings, "user", 0, [Row("late", START, 3)])
    materialize(settings, START)
    online = OnlineFeatures(settings)
    assert online.user("late", START + view.ttl) is not None
    assert online.user("late", START + view.ttl + timedelta(microseconds=1)) is None
    online.close()
    assert read(stores, view, ["late"]) == read_by_feast(stores, view, ["late"]) != [None]


def test_the_layout_is_of_the_version_that_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pinned,) = (line for line in project["dependencies"] if line.startswith("feast["))
    assert pinned.endswith(f"=={FEAST}")
    check_version(FEAST)
    with pytest.raises(LayoutError, match=f"feast 0.99.0 is installed.*{FEAST}"):
        check_version("0.99.0")


def test_each_type_of_a_feature_is_tried() -> None:
    kinds = {table.field(name).type for table in FEATURE_TABLES.values() for name in feature_names(table)}
    assert {kind.value_type if pa.types.is_list(kind) else kind for kind in kinds} <= SCALARS.keys()


def test_serving_imports_neither_feast_nor_the_engines_of_the_nightly_run(tmp_path: Path) -> None:
    heavy = ["feast", "ibis", "transformers", "dagster", "great_expectations", "scipy.optimize", "torch", "duckdb"]
    code = f"import sys, serving.retriever, serving.api.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
