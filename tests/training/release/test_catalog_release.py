"""The release of a catalogue alone: the fusion of BM25 and the text encoder, by the program that serves towers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.contract.request import NO_CONTEXT
from infra.settings import Settings
from serving.filters import parse_filters
from serving.loading import load_served, warm
from tests.training.conftest import SMALL, with_training
from training.data.arrays import prepare_arrays
from training.evaluation.live import read_live
from training.ranking.bm25 import LEXICAL_FIELDS, Bm25, catalog_text
from training.ranking.candidates import DEPTH
from training.ranking.features import RANK_CONSTANT
from training.release.catalog_release import NoTextError, write_catalog_release
from training.release.release import load_release
from training.text import item_texts, minilm

TITLES = [
    "Wireless mouse, black",
    "Wired optical mouse for left hands",
    "Computer pointing device with a scroll wheel",
    "Mouse trap, wooden",
    "Women's evening gown",
    "Coffee grinder",
    "Running shoes, size 42",
    "Trail runners",
    None,
    "Kitchen scale",
]
QUERIES = ["wireless mouse", "sneakers", "coffee mill", "dress for a party", "zzzz"]


def shop(home: Path, titles: list[str | None] = TITLES, text_encoder: str = "minilm") -> Settings:
    """A shop with a catalogue and nothing else."""
    training = SMALL.model_copy(update={"text_encoder": text_encoder})
    settings = Settings(home=home, shop="bare", training=training)
    settings.paths.catalog.parent.mkdir(parents=True)
    table = pa.table(
        {
            "item_id": [f"sku-{n}" for n in range(len(titles))],
            "title": pa.array(titles, pa.string()),
            "brand": pa.array(["Acme" if n % 2 and t else None for n, t in enumerate(titles)], pa.string()),
            "price": [float(n) for n in range(len(titles))],
        }
    )
    pq.write_table(table, settings.paths.catalog)
    return settings


def fused(catalog: pa.Table, query: str) -> list[int]:
    """Reciprocal-rank fusion of cosine and BM25, worked out by hand; of equal ones the lower row first."""
    encoder = minilm(SMALL.text_tokens)
    cosine = encoder.encode(item_texts(catalog)) @ encoder.encode_query(query)
    lexical = Bm25(catalog_text(catalog, LEXICAL_FIELDS)).scores([query])[0]
    score = np.zeros(len(catalog))
    for values, kept in ((cosine, np.ones(len(catalog), dtype=bool)), (lexical, lexical > 0)):
        order = [row for row in np.argsort(-values, kind="stable")[:DEPTH] if kept[row]]
        score[order] += RANK_CONSTANT / (RANK_CONSTANT + 1 + np.arange(len(order)))
    return [int(row) for row in np.lexsort((np.arange(len(score)), -score))]


@pytest.mark.slow
def test_it_serves_the_fusion_of_bm25_and_the_text_encoder(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    release = load_release(write_catalog_release(settings))
    served = load_served(settings, release.id)
    warm(served)
    for query in QUERIES:
        vector = release.encoder.encode(query)[None]
        wanted = parse_filters(None, served.fields)
        towers = served.search(vector, served.depth(5), wanted)
        ((rows, _),) = served.ranked([query], [NO_CONTEXT], vector, towers, 5, wanted)
        assert rows.tolist() == fused(pq.read_table(settings.paths.catalog), query)[:5], query


def test_it_corrects_by_the_catalogue(tmp_path: Path) -> None:
    served = load_served(settings := shop(tmp_path), write_catalog_release(settings).name)
    assert served.corrected("wireles mose") == "wireless mouse"
    assert served.corrected("wireless mouse") == "wireless mouse"


def test_filters_and_item_numbers_work_without_a_log(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    release = load_release(write_catalog_release(settings))
    served = load_served(settings, release.id)
    wanted = parse_filters({"brand": "Acme", "price": {"lt": 4}}, served.fields)
    vector = release.encoder.encode("sku-3")[None]
    ((rows, _),) = served.ranked(["sku-3"], [NO_CONTEXT], vector, served.search(vector, 10, wanted), 10, wanted)
    assert rows.tolist()[0] == 3
    assert {release.items.ids[row] for row in rows} == {"sku-1", "sku-3"}
    assert not served.is_personal("mouse", NO_CONTEXT)


def test_the_same_catalogue_is_the_same_release(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    manifest = load_release(write_catalog_release(settings)).manifest
    assert manifest.data_until == manifest.trained_at, "there is no log that is replayed"
    assert write_catalog_release(settings) == write_catalog_release(settings)
    pq.write_table(pq.read_table(settings.paths.catalog).slice(1), settings.paths.catalog)
    assert len(list(settings.paths.releases.iterdir())) == 1
    assert load_release(write_catalog_release(settings)).items.ids[0] == "sku-1"


def test_without_a_text_encoder_bm25_alone_serves(tmp_path: Path) -> None:
    settings = shop(tmp_path, text_encoder="none")
    release = load_release(write_catalog_release(settings))
    served = load_served(settings, release.id)
    warm(served)
    texts, contexts = ["wireless mouse", "left hands", "zzzz"], [NO_CONTEXT] * 3
    vectors = release.encoder.encode_many(texts, contexts)
    wanted = parse_filters(None, served.fields)
    found = served.ranked(texts, contexts, vectors, served.search(vectors, served.depth(3), wanted), 3, wanted)
    assert [rows[0] for rows, _ in found[:2]] == [0, 1]
    assert not len(found[2][0]), "what has no word in common is no hit: towers that know nothing find nothing"


@pytest.mark.parametrize(
    ("titles", "says"), [([None] * 3, "no item of the catalogue has a title"), (["!!!", "?"], "can be searched for")]
)
def test_a_catalogue_without_a_text_cannot_be_searched(tmp_path: Path, titles: list[str | None], says: str) -> None:
    settings = shop(tmp_path, titles)
    if None not in titles:
        bare = pq.read_table(settings.paths.catalog).select(["item_id", "title"])
        pq.write_table(bare, settings.paths.catalog)
    with pytest.raises(NoTextError, match=says):
        write_catalog_release(settings)
    assert not settings.paths.releases.exists()


@pytest.mark.slow
def test_it_is_measured_beside_towers_as_it_serves(make_shop: Callable[..., Settings]) -> None:
    """The vectors that the evaluation makes of the catalogue are those that the release carries."""
    settings = with_training(make_shop(requests=400), text_encoder="minilm")
    folder = write_catalog_release(settings)
    arrays = prepare_arrays(settings)
    arrays = replace(arrays, item_available=np.zeros_like(arrays.item_available))
    judging = np.flatnonzero(arrays.is_validation)[:40]
    found = read_live(settings, arrays, folder).method(settings)(judging)
    release = load_release(folder)
    served = load_served(settings, release.id)
    everything = parse_filters(None, served.fields)
    texts = arrays.query_texts().take(pa.array(arrays.request_query[judging])).to_pylist()
    contexts = [NO_CONTEXT] * len(texts)
    vectors = release.encoder.encode_many(texts, contexts)
    towers = served.search(vectors, served.depth(20), everything)
    online = served.ranked(texts, contexts, vectors, towers, 20, everything)
    for row, (rows, _) in zip(found, online, strict=True):
        # A query's vector is of int8 weights online: neighbours may change places, not more.
        assert set(row[:10].tolist()) <= set(rows.tolist())


def test_items_are_the_first_for_their_numbers_beside_words_and_for_their_variants(tmp_path: Path) -> None:
    settings = shop(tmp_path, ["Brake pads", "Brake discs by Brembo", *["Brembo brake fluid"] * 200], "none")
    catalog = pq.read_table(settings.paths.catalog)
    ids = ["BP-1107/7", "BD-2", *catalog["item_id"].to_pylist()[2:]]
    pq.write_table(catalog.set_column(0, "item_id", [ids]), settings.paths.catalog)
    aliases = {"alias_id": ["BD-2-L77", "BD-2-R77", "gone"], "item_id": ["BD-2", "BD-2", "none of these"]}
    pq.write_table(pa.table(aliases), settings.paths.item_aliases)
    release = load_release(write_catalog_release(settings))
    served = load_served(settings, release.id)
    texts = ["bp-1107/7 brembo", "BP1107/7".lower(), "bd-2-r77", "brembo bd2l77", "bp-110"]
    contexts, wanted = [NO_CONTEXT] * len(texts), parse_filters(None, served.fields)
    vectors = release.encoder.encode_many(texts, contexts)
    found = served.ranked(texts, contexts, vectors, served.search(vectors, served.depth(5), wanted), 5, wanted)
    first = [release.items.ids[rows[0]] for rows, _ in found]
    assert first == ["BP-1107/7", "BP-1107/7", "BD-2", "BD-2", "BP-1107/7"]
    assert all(served.corrected(text) == text for text in texts)
    assert len(served.ranking.undecided(texts) if served.ranking else []) == 0
