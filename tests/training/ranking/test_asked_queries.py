"""What is evaluated is what is served: requests ask their corrected queries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from infra.settings import Settings
from tests.training.conftest import SMALL
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.data.arrays import Arrays, TextVectors, prepare_arrays
from training.data.histories import of_query
from training.data.ngrams import Hasher
from training.ranking.asked_queries import QueryReader, with_corrected_queries
from training.ranking.bm25 import Bm25, catalog_text
from training.ranking.fitting import FittedRanker
from training.ranking.spelling import Spelling
from training.run.ranking import second_stage
from training.run.trainer import new_towers

SLIPS = {"red shoes": "red sheos", "blue lamp": "bluelamp", "green mug": "green mug zzz", "white table": "whte tabel"}


def shop_of(home: Path, slips: dict[str, str], **sizes: object) -> Settings:
    """The toy shop whose last day's queries have slips."""
    settings = Settings(home=home, shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(**sizes))  # type: ignore[arg-type]
    for folder in ("training_set", "sessions"):
        (file,) = (settings.paths.root / folder / "requests").rglob("*.parquet")
        table = pq.read_table(file, partitioning=None)
        cut = pc.max(pq.read_table(settings.paths.training_set / "item_features.parquet")["event_timestamp"])
        day_before = pc.subtract(cut, pa.scalar(86_400_000_000, pa.duration("us")))
        late = pc.greater_equal(table["time"], day_before)
        typed = table["query"]
        for meant, slip in slips.items():
            typed = pc.if_else(pc.and_(late, pc.equal(table["query"], meant)), slip, typed)
        pq.write_table(table.set_column(table.column_names.index("query"), "query", typed), file)
    return settings


@pytest.fixture
def reader() -> QueryReader:
    words = Hasher(SMALL.buckets, SMALL.max_query_tokens, SMALL.ngrams)
    return QueryReader(words, lambda texts: np.ones((len(texts), 3), dtype=np.float32))


def with_text(arrays: Arrays) -> Arrays:
    """The arrays with vectors of some text encoder."""
    items, queries = (np.zeros((n, 3), dtype=np.float32) for n in (arrays.items, len(arrays.query_texts())))
    return replace(arrays, text=TextVectors(items, queries))


def spelling_of(arrays: Arrays, at: int) -> Spelling:
    texts = catalog_text(arrays.catalog())
    return Spelling.as_of(Bm25(texts), texts, arrays.edges, arrays.query_texts(), at)


def test_late_requests_ask_what_would_be_served(tmp_path: Path, reader: QueryReader) -> None:
    arrays = with_text(prepare_arrays(shop_of(tmp_path, SLIPS)))
    before = np.array(arrays.query_texts().take(arrays.request_query).to_pylist())

    asked = with_corrected_queries(arrays, spelling_of(arrays, arrays.cut), reader)

    after = np.array(asked.query_texts().take(asked.request_query).to_pylist())
    late = arrays.request_time >= arrays.cut
    assert (before[~late] == after[~late]).all()
    changed = dict(zip(before[before != after], after[before != after], strict=True))
    assert changed == {SLIPS[meant]: meant for meant in ("red shoes", "blue lamp", "white table")}
    assert (before[late & (before == after)] != "red sheos").all()
    assert asked.query_tokens[int(asked.request_query[-1])].tolist() == reader.words.ngrams([after[-1]])[0].tolist()


def test_a_corrected_query_that_nobody_typed_is_a_query_more(tmp_path: Path, reader: QueryReader) -> None:
    slips = {"red shoes": "acme yelow lamp", "blue lamp": "dorado bicylce mug"}
    arrays = with_text(prepare_arrays(shop_of(tmp_path, slips)))
    count = len(arrays.query_texts())

    asked = with_corrected_queries(arrays, spelling_of(arrays, arrays.cut), reader)

    added = asked.query_texts().to_pylist()[count:]
    assert sorted(added) == ["acme yellow lamp", "dorado bicycle mug"]
    assert asked.text is not None and (asked.text.queries[count:] == 1).all() and len(asked.text.queries) == count + 2
    for place, text in enumerate(added):
        assert asked.query_tokens[count + place].tolist() == reader.words.ngrams([text])[0].tolist()
    assert (asked.request_query >= count).sum() > 2


def test_without_a_slip_nothing_is_copied(tmp_path: Path, reader: QueryReader) -> None:
    arrays = prepare_arrays(shop_of(tmp_path, {}, requests=300))
    assert with_corrected_queries(arrays, spelling_of(arrays, arrays.cut), reader) is arrays


def test_what_is_known_of_the_query_is_that_of_the_query_asked(tmp_path: Path, reader: QueryReader) -> None:
    arrays = prepare_arrays(shop_of(tmp_path, {"red shoes": "red sheos"}))
    asked = with_corrected_queries(arrays, spelling_of(arrays, arrays.cut), reader)
    about_query = of_query(arrays.meta["request_features"])
    assert about_query.any() and not about_query.all()
    changed = np.flatnonzero(asked.request_query != arrays.request_query)
    assert len(changed)
    for request in changed:
        earlier = np.flatnonzero(arrays.request_query[:request] == asked.request_query[request])
        expected = np.array(arrays.request_features[request])
        expected[about_query] = arrays.request_features[earlier[-1]][about_query]
        np.testing.assert_array_equal(asked.request_features[request], expected)
    same = np.setdiff1d(np.arange(len(arrays.request_query)), changed)
    np.testing.assert_array_equal(asked.request_features[same], arrays.request_features[same])


def test_of_a_corrected_query_that_nobody_asked_before_nothing_is_known(tmp_path: Path, reader: QueryReader) -> None:
    arrays = with_text(prepare_arrays(shop_of(tmp_path, {"red shoes": "acme yelow lamp"})))
    asked = with_corrected_queries(arrays, spelling_of(arrays, arrays.cut), reader)
    about_query = of_query(arrays.meta["request_features"])
    changed = asked.request_query != arrays.request_query
    assert np.isfinite(arrays.request_features[changed][:, about_query]).any()
    assert np.isnan(asked.request_features[changed][:, about_query]).all()
    np.testing.assert_array_equal(asked.request_features[:, ~about_query], arrays.request_features[:, ~about_query])
    np.testing.assert_array_equal(asked.request_features[~changed], arrays.request_features[~changed])


def test_slips_are_judged_as_the_queries_that_were_meant(tmp_path: Path) -> None:
    served: list[np.ndarray] = []
    for name, slips in (("typed", SLIPS | {"green mug": "grean mug"}), ("meant", {})):
        settings = shop_of(tmp_path / name, slips, figures=False)
        arrays = prepare_arrays(settings)
        torch.manual_seed(1)
        towers = new_towers(settings.training, arrays)
        stage = second_stage(settings, arrays, towers, None)
        ranker = FittedRanker.of_rules(stage.items.features, {"known": "hybrid", "unknown": "hybrid"}).ranker
        late = np.flatnonzero(arrays.request_time >= arrays.cut)
        texts = arrays.query_texts().take(arrays.request_query[late]).to_pylist()
        assert ("red sheos" in texts) == (name == "typed")
        served += [stage.encode(late), stage.search(ranker, late, 50)]
    np.testing.assert_array_equal(served[0], served[2])
    np.testing.assert_array_equal(served[1], served[3])
