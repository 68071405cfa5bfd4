"""A release over today's catalogue: new items are encoded as its own were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from tests.serving.small_shop import make_shop
from tests.training.release.test_catalog_release import shop
from training.data.arrays import prepare_arrays
from training.ranking.bm25 import Bm25
from training.release.catalog_release import write_catalog_release
from training.release.release import load_release
from training.release.updated import encode_new_items, with_updates


def as_new(catalog: pa.Table) -> pa.Table:
    stamps = pa.array([0] * len(catalog), pa.int64())
    kept = [name for name in catalog.column_names if name != "available_from"]
    return catalog.select(kept).append_column("available_from", stamps)


def test_what_nobody_met_is_encoded_as_the_nightly_run_encodes_it(tmp_path: Path) -> None:
    small = make_shop(tmp_path, items=60)
    release = small.release()
    catalog = prepare_arrays(small.settings).catalog()
    encoded = encode_new_items(release, as_new(catalog), small.settings)
    met = np.isin(release.items.ids, ["i0", "i1"])
    width = release.encoder.towers.config.width
    assert np.allclose(encoded.vectors[~met, :width], release.items.vectors[~met, :width], atol=1e-5)
    assert encoded.vectors.shape == release.items.vectors.shape
    assert np.array_equal(np.isnan(encoded.numeric), np.isnan(release.sources.items.numeric))


@pytest.mark.slow
def test_the_text_of_a_new_item_is_read_as_that_of_the_catalogues_own(tmp_path: Path) -> None:
    settings: Settings = shop(tmp_path)
    release = load_release(write_catalog_release(settings))
    catalog = pq.read_table(settings.paths.catalog).sort_by("item_id")
    described = np.flatnonzero(catalog["title"].is_valid().to_numpy())
    encoded = encode_new_items(release, as_new(catalog.take(pa.array(described))), settings)
    assert np.allclose(encoded.vectors, release.items.vectors[described], atol=1e-6)


@pytest.mark.slow
def test_new_items_come_after_the_releases_own_and_are_known_to_all_of_it(tmp_path: Path) -> None:
    settings: Settings = shop(tmp_path)
    release = load_release(write_catalog_release(settings))
    own = release.items.table
    new = pa.table({"item_id": ["zz-9"], "title": ["Zorblax wirelss lantern"], "price": [3.0], "available_from": [0]})
    encoded = encode_new_items(release, new, settings)
    table = pa.concat_tables([own, new.select(["item_id", "title", "price"])], promote_options="permissive")
    today = with_updates(release, table, {}, ["zz-9"], encoded)
    count = len(own)
    assert (today.id, today.items.ids) == (release.id, [*release.items.ids, "zz-9"])
    assert len(release.items.ids) == count and release.encoder.row_indexes(["zz-9"]) == [-1]
    assert today.encoder.row_indexes(["sku-0", "zz-9"]) == [release.encoder.row_indexes(["sku-0"])[0], count]
    assert today.sources.lexical.scores(["lantern"]).argmax() == count
    (named,) = today.sources.numbers.named(["zz-9"], np.array([False]))
    assert named.tolist() == [count]
    assert today.sources.graph.walked(["mouse"]).visits.shape == (1, count + 1)
    before, after = release.sources.spelling, today.sources.spelling
    assert before is not None and after is not None
    assert (before.corrected("wirelss mouse"), after.corrected("wirelss mouse")) == ("wireless mouse", "wirelss mouse")


def test_further_texts_are_scored_nearly_as_if_they_had_been_there() -> None:
    rng = np.random.default_rng(4)
    words = [f"word{n}" for n in range(60)]
    texts = [" ".join(rng.choice(words, rng.integers(2, 9))) for _ in range(2_000)]
    own, further = texts[:1_950], [*texts[1_950:], "word1 unheard", ""]
    extended, whole = Bm25(own).with_texts(further), Bm25([*own, *further])
    queries = ["word1 word2", "word7", "unheard", "nothing", "the", ""]
    found, expected = extended.scores(queries), whole.scores(queries)
    assert found.shape == expected.shape
    assert np.array_equal(found[:, :1_950] > 0, expected[:, :1_950] > 0)
    assert np.array_equal(found > 0, expected > 0)
    both = expected > 0
    assert np.abs(found[both] / expected[both] - 1).max() < 0.15
    assert Bm25(["", ""]).with_texts(["red sofa"]).scores(["sofa"])[0, 2] > 0
