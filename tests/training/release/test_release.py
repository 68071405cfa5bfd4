"""A release: whole, the same for the same input, and refused when anything in it was touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from infra.contract.request import RequestContext
from infra.settings import Settings
from serving.ranking import Ranking
from tests.training.conftest import SMALL, with_training
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.data.arrays import prepare_arrays
from training.evaluation import EvaluationReport, evaluate, read_evaluation
from training.model.encoding import encode_catalog
from training.quality_prior import PriorWeights
from training.quality_prior.fitting import QualityPrior
from training.release.manifest import (
    DESCRIPTION,
    IDENTITY,
    RANKER,
    RANKING,
    SPELLING,
    TEXT_ENCODER,
    ReleaseError,
    clean_releases,
    content_id,
    file_entry,
    list_releases,
)
from training.release.release import load_release
from training.release.writer import write_release
from training.run.candidate import QUALITY_PRIOR, fit_candidate_prior, load_candidate, load_prior
from training.run.ranking import fit_candidate_ranker
from training.run.trainer import train

MakeShop = Callable[..., Settings]
NO_REPORT = EvaluationReport(truth="orders", requests=0, items=0, rows=[], slices={})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path, EvaluationReport]:
    settings = Settings(home=tmp_path_factory.mktemp("release"), shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(requests=2_000))
    candidate = train(settings).candidate_dir
    fit_candidate_prior(settings, candidate)
    fit_candidate_ranker(settings, candidate)
    return settings, candidate, evaluate(settings, candidate)


@pytest.fixture
def made(trained: tuple[Settings, Path, EvaluationReport], tmp_path: Path) -> tuple[Settings, Path, EvaluationReport]:
    """The same shop and candidate for a test alone."""
    settings, candidate, report = trained
    own = settings.model_copy(update={"home": tmp_path})
    shutil.copytree(settings.paths.root, own.paths.root)
    return own, own.paths.root / candidate.relative_to(settings.paths.root), report


def test_written_and_loaded(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    path = write_release(settings, candidate, report)
    release = load_release(path)
    assert release.id == path.name
    assert {f.name for f in path.iterdir()} == {
        *IDENTITY, *DESCRIPTION, SPELLING, *(name.split("/")[0] for name in RANKING), "manifest.json",
    }  # fmt: skip
    assert release.items.ids == release.items.table["item_id"].to_pylist()
    arrays = prepare_arrays(settings)
    towers = load_candidate(candidate)
    vectors = encode_catalog(towers, arrays, arrays.end, kept=settings.training.graph_kept)
    np.testing.assert_array_equal(
        release.items.vectors[:, : settings.training.dim + settings.training.token_dim], vectors
    )
    assert release.items.table["brand"].null_count == 0
    assert release.manifest.data_until.isoformat() == "2026-03-07T00:00:00+00:00"
    assert release.manifest.feature_service == "towers_v2"
    assert EvaluationReport.from_json(release.manifest.evaluation) == report == read_evaluation(candidate)
    for name, weights in towers.state_dict().items():
        np.testing.assert_array_equal(weights.numpy(), release.encoder.towers.state_dict()[name].numpy())
    context = RequestContext(recent_queries=["blue mug"], recent_items=release.items.ids[:2])
    assert release.encoder.encode("red shoes", context).dtype == np.float32
    best = np.argsort(-release.items.vectors @ release.encoder.encode("red shoes"))[:5]
    assert all("shoes" in title for title in release.items.table["title"].take(best).to_pylist())
    card = (path / "model_card.md").read_text(encoding="utf-8")
    assert "towers, not personalized" in card
    first = datetime.fromtimestamp(int(arrays.request_time.min()) / 1e6, UTC)
    assert f"on requests from {first:%Y-%m-%d %H:%M}\n" in card
    versions = json.loads((path / "training.json").read_text(encoding="utf-8"))["dependencies"]
    assert versions["torch"] == metadata.version("torch") and "unknown" not in versions.values()
    assert all(f"{name} {number}" in card for name, number in versions.items())
    assert "terms, graph, location, scalars, user (transformer)" in card


def test_the_same_input_is_the_same_release(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    first = write_release(settings, candidate, report)
    again = train(settings).candidate_dir
    fit_candidate_prior(settings, again)
    fit_candidate_ranker(settings, again)
    assert write_release(settings, again, report) == first
    assert [r.id for r in list_releases(settings)] == [first.name]
    assert list(settings.paths.releases.glob(".*")) == []


def test_a_candidate_has_to_be_looked_at_for_boosting_first(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    (candidate / QUALITY_PRIOR).unlink()
    with pytest.raises(FileNotFoundError):
        write_release(settings, candidate, report)
    assert list(settings.paths.releases.iterdir()) == []


def test_boosting_in_force_is_in_both_vectors(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    features = load_prior(candidate).features
    assert len(features.names) > 2
    weights = np.linspace(-0.1, 0.2, len(features.names)).astype(np.float32)
    forced = QualityPrior(features, PriorWeights(tuple(weights.tolist()), ""))
    (candidate / QUALITY_PRIOR).write_text(json.dumps(forced.to_json()), encoding="utf-8")
    release = load_release(write_release(settings, candidate, report))
    width = settings.training.dim + settings.training.token_dim
    boosted = width + len(weights)
    assert release.manifest.config["width"] == boosted
    assert release.items.vectors.shape == (600, boosted)
    query = release.encoder.encode("red shoes", RequestContext(recent_brands=["acme"]))
    assert query.shape == (boosted,)
    np.testing.assert_allclose(query[width:], weights)
    items, quality = release.items.vectors[:, :width], release.items.vectors[:, width:]
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-5)
    assert np.linalg.norm(query[:width]) == pytest.approx(1, abs=1e-5)
    assert ((quality >= 0) & (quality <= 1)).all()
    assert quality.std(axis=0).min() > 0
    score = release.items.vectors @ query
    np.testing.assert_allclose(score, items @ query[:width] + quality @ weights, atol=1e-5)
    arrays = prepare_arrays(settings)
    np.testing.assert_array_equal(quality, forced.quality(arrays, arrays.end, settings.features.rate_prior))


@pytest.mark.many(4)
@pytest.mark.parametrize("file", [*IDENTITY, *DESCRIPTION, *RANKING, SPELLING])
def test_a_changed_file_is_refused(made: tuple[Settings, Path, EvaluationReport], file: str) -> None:
    path = write_release(*made)
    content = (path / file).read_bytes()
    (path / file).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(ReleaseError, match=file):
        load_release(path)
    (path / file).unlink()
    with pytest.raises(ReleaseError, match=f"lacks {file}"):
        load_release(path)


def test_a_changed_manifest_is_refused(made: tuple[Settings, Path, EvaluationReport]) -> None:
    path = write_release(*made)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    for change, sentence in (
        ({"schema_version": 99}, "schema version 99"),
        ({"id": "0" * 12}, "claims the id"),
        ({"files": {}}, "not the files of a release"),
        ({"files": {**manifest["files"], "more.py": {}}}, "not the files of a release"),
    ):
        (path / "manifest.json").write_text(json.dumps(manifest | change), encoding="utf-8")
        with pytest.raises(ReleaseError, match=sentence):
            load_release(path)
    (path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReleaseError, match="cannot be read"):
        load_release(path)
    with pytest.raises(ReleaseError, match="is no release"):
        load_release(path.parent / "nothing")


@pytest.mark.slow
def test_a_text_encoder_is_part_of_the_release(make_shop: MakeShop) -> None:
    changes = {"text_encoder": "minilm", "text_in_query": True, "text_dim": 8, "epochs": 1}
    settings = with_training(make_shop(requests=150, items=60), **changes)
    candidate = train(settings).candidate_dir
    fit_candidate_prior(settings, candidate)
    fit_candidate_ranker(settings, candidate)
    path = write_release(settings, candidate, NO_REPORT)
    release = load_release(path)
    assert release.items.vectors.shape == (60, 16 + 8 + 16), "learned, text and history part"
    assert release.encoder.encode("red shoes").shape == (16 + 8 + 16,)
    assert "text (minilm)" in (path / "model_card.md").read_text(encoding="utf-8")
    file = path / TEXT_ENCODER / "encoder.json"
    content = file.read_text(encoding="utf-8")
    file.write_text(content.replace("minilm", "minilM"), encoding="utf-8")
    with pytest.raises(ReleaseError, match=f"{TEXT_ENCODER}/{file.name}"):
        load_release(path)
    file.unlink()
    with pytest.raises(ReleaseError, match="lacks"):
        load_release(path)


def test_cleaning_keeps_the_newest_and_what_it_is_told_to(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    original = write_release(settings, candidate, report)
    for n in range(5):
        copy = original.with_name(f"copy{n}")
        shutil.copytree(original, copy)
        clock = json.dumps({"trained_at": f"2020-01-0{n + 1}T00:00:00+00:00"})
        (copy / "clock.json").write_text(clock, encoding="utf-8")
    assert list_releases(settings)[0].path == original
    assert clean_releases(settings, keep={"copy0"}) == ["copy2", "copy1"]
    assert {r.id for r in list_releases(settings)} == {original.name, "copy4", "copy3", "copy0"}


def test_no_release_is_none(make_shop: MakeShop) -> None:
    assert list_releases(make_shop(requests=50)) == []


@pytest.mark.parametrize("schema", [2, 3])
def test_an_upgrade_still_reads_releases_of_the_schemas_before(
    made: tuple[Settings, Path, EvaluationReport], schema: int
) -> None:
    path = write_release(*made)
    release = load_release(path)
    old = path.with_name("old")
    shutil.copytree(path, old)
    files = json.loads((old / "manifest.json").read_text(encoding="utf-8"))["files"]
    added = {own.split("/")[0] for own in (*RANKING, SPELLING)}
    files = {name: e for name, e in files.items() if name.split("/")[0] not in added}
    if schema == 2:
        (old / "items.parquet").unlink()
        columns = {name: release.items.table[name].to_pylist() for name in release.items.table.column_names}
        (old / "items.json").write_text(json.dumps(columns), encoding="utf-8")
        del files["items.parquet"]
        files["items.json"] = file_entry(old / "items.json")
    for name in (*RANKING, SPELLING):
        (old / name).unlink()
    manifest = {"schema_version": schema, "id": content_id(files), "files": files}
    (old / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    before = load_release(old)
    assert before.items.ids == release.items.ids
    assert before.items.table.equals(release.items.table)
    np.testing.assert_array_equal(before.encoder.encode("red shoes"), release.encoder.encode("red shoes"))
    assert before.ranker is None


def test_a_release_of_before_queries_were_corrected_corrects_none(
    made: tuple[Settings, Path, EvaluationReport],
) -> None:
    path = write_release(*made)
    release, folder = load_release(path), made[0].paths.releases / "before"
    shutil.copytree(path, folder)
    (folder / SPELLING).unlink()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest["files"][SPELLING]
    manifest["id"] = content_id(manifest["files"])
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    before = load_release(folder)

    assert before.id != release.id
    assert before.sources.spelling is None and not before.corrects_queries
    assert release.sources.spelling is not None and release.corrects_queries
    for one, served in ((release, "red shoes"), (before, "red sheos")):
        assert one.ranker is not None and Ranking(one, one.ranker).corrected("red sheos") == served


def test_a_ranker_of_features_that_are_not_known_is_refused(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    ranker = json.loads((candidate / RANKER).read_text(encoding="utf-8"))
    ranker["features"][0] = "something new"
    (candidate / RANKER).write_text(json.dumps(ranker), encoding="utf-8")
    release = load_release(write_release(settings, candidate, report))
    with pytest.raises(ReleaseError, match="ranks by features that this program does not have"):
        _ = release.ranker


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ('raise ModuleNotFoundError("No module named lightgbm")', "No module named lightgbm"),
        ('raise OSError("libgomp.so.1: cannot open shared object file")', "libgomp.so.1"),
    ],
)
def test_trees_without_their_library_say_what_to_install(
    made: tuple[Settings, Path, EvaluationReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    said: str,
) -> None:
    settings, candidate, report = made
    ranker = json.loads((candidate / RANKER).read_text(encoding="utf-8"))
    ranker["trees"] = {"known": "tree"}
    (candidate / RANKER).write_text(json.dumps(ranker), encoding="utf-8")
    release = load_release(write_release(settings, candidate, report))
    for name in [name for name in sys.modules if name.split(".")[0] == "lightgbm"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "lightgbm.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "broken")
    with pytest.raises(ReleaseError, match=f"{said}.*install `lightgbm` and `libgomp1`"):
        _ = release.ranker
    assert release.towers_ranker is not None


LIGHT = """
import sys
from pathlib import Path
import serving.index
from training.release.manifest import read_manifest
from training.release.release import load_release
release = load_release(Path(sys.argv[1]))
assert len(release.items.ids) == len(release.items.vectors) == release.items.table.num_rows == 600
assert read_manifest(Path(sys.argv[1])).id == release.id
heavy = {"torch", "transformers", "training.text", "training.model"} & set(sys.modules)
assert not heavy, heavy
release.encoder.encode("red shoes")
assert "torch" not in sys.modules
assert release.encoder.towers.config == release.encoder.config
"""


@pytest.mark.slow
def test_checking_pushing_and_reading_queries_load_no_torch(made: tuple[Settings, Path, EvaluationReport]) -> None:
    path = write_release(*made)
    subprocess.run([sys.executable, "-c", LIGHT, str(path)], check=True, cwd=Path(__file__).parents[3])


def test_a_release_says_what_it_was_trained_with(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    changed = with_training(settings, epochs=9, temperature=0.5)
    config = load_release(write_release(changed, candidate, report)).manifest.config
    assert config["training"]["epochs"] == settings.training.epochs
    assert config["training"]["temperature"] == settings.training.temperature


def test_a_candidate_of_an_earlier_version_is_to_be_trained_again(
    made: tuple[Settings, Path, EvaluationReport],
) -> None:
    settings, candidate, report = made
    training = json.loads((candidate / "training.json").read_text(encoding="utf-8"))
    del training["settings"]
    (candidate / "training.json").write_text(json.dumps(training), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="earlier version"):
        write_release(settings, candidate, report)
