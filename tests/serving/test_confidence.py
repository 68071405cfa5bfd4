"""A release of a shop with texts says which queries nothing fits, and can leave their hits out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.contract.request import NO_CONTEXT
from infra.settings import ServingSettings, Settings
from serving import Retriever
from serving.filters import Filter, parse_filters
from serving.index import promote, push
from serving.loading import load_served
from tests.training.conftest import SMALL
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.data.arrays import prepare_arrays
from training.evaluation import EvaluationReport
from training.ranking.confidence import LEAST_QUERIES
from training.release.release import Release, load_release
from training.release.writer import write_release
from training.run.candidate import fit_candidate_prior, save_candidate
from training.run.ranking import fit_candidate_ranker, save_ranker
from training.run.trainer import new_towers

pytestmark = pytest.mark.server

FOREIGN = ["segmentation fault in malloc", "mortgage interest rates", "weather tomorrow in Berlin", "divorce lawyer"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Release]:
    """A shop of untrained towers that read text."""
    training = SMALL.model_copy(update={"text_encoder": "minilm", "text_tokens": 16})
    settings = Settings(home=tmp_path_factory.mktemp("confident"), shop="toy", training=training)
    write_toy_shop(settings.paths, ToyShop(requests=4_000))
    arrays = prepare_arrays(settings)
    folder = settings.paths.training / "candidate"
    told = {"examples": 0, "curve": [], "best_epoch": 0, "recipe": SMALL.recipe, "encoders": [],
            "settings": training.model_dump(mode="json")}  # fmt: skip
    save_candidate(folder, new_towers(training, arrays), told)
    fit_candidate_prior(settings, folder)
    fitted = fit_candidate_ranker(settings, folder)
    assert fitted.confidence is None or fitted.confidence.queries >= LEAST_QUERIES
    report = EvaluationReport(truth="orders", requests=0, items=0, rows=[], slices={})
    release = load_release(write_release(settings, folder, report))
    assert release.confidence == fitted.confidence
    chance = None if isinstance(fitted.chance, str) else fitted.chance
    assert release.click_chance == chance and fitted.chance is not None
    return settings, release


def test_what_the_shop_does_not_sell_fits_nothing(shop: tuple[Settings, Release]) -> None:
    settings, release = shop
    assert release.confidence is not None, "the toy shop has enough queries"
    served = load_served(settings, release.id)
    own = ["red shoes", "lamp for a dark room", release.items.ids[7].lower(), "a pair of running shoes"]
    texts = [*own, *FOREIGN]
    vectors = release.encoder.encode_many(texts, [NO_CONTEXT] * len(texts))
    fits = [True] * len(own) + [False] * len(FOREIGN)
    told = served.fits(texts, vectors, served.search(vectors, served.depth(10), Filter()), Filter())
    assert [fit.confident for fit in told] == fits
    cheap = parse_filters({"price": {"lte": 0.0}}, served.fields)
    nothing = served.search(vectors, served.depth(10), cheap)
    assert not any(len(rows) for rows, _ in nothing)
    assert served.fits(texts, vectors, nothing, cheap) == told, "what a filter leaves out is near all the same"
    pruned = replace(served, min_score=1.0)
    nothing = pruned.search(vectors, served.depth(10), Filter())
    assert pruned.fits(texts, vectors, nothing, Filter()) == told, "so is what a least score leaves out"
    chance = [fit.chance for fit in told]
    if release.click_chance is None:
        assert chance == [None] * len(texts)
    else:
        assert chance[2] is None, "of an item's own number nearness says nothing"
        assert all(0 <= share <= 1 for share in chance if share is not None)


@pytest.mark.parametrize("hits", [True, False])
def test_an_answer_says_so_and_can_be_empty(shop: tuple[Settings, Release], hits: bool) -> None:
    settings, release = shop
    serving = ServingSettings(unconfident_hits=hits)
    settings = settings.model_copy(update={"serving": serving})
    push(settings, release)
    promote(settings, release.id)
    with Retriever(settings) as retriever:
        for _ in range(2):  # the second one is of the cache
            answer = retriever.retrieve(None, FOREIGN[0], k=5)
            assert answer.confident is False
            assert len(answer.hits) == (5 if hits else 0)
        known, listed = retriever.retrieve(None, "red shoes", k=5), retriever.retrieve(None, "", k=5)
        assert (known.confident, listed.confident) == (True, True)
        few = retriever.retrieve(None, "a pair of running shoes", filters={"brand": "acme", "price": {"lt": 20}})
        assert few.confident is True, "it is about the query, not about what a filter leaves"
        assert len(retriever.retrieve(None, "red shoes", k=5, explain=True).hits) == 5


def test_what_no_log_told_is_not_known_and_has_its_hits(shop: tuple[Settings, Release]) -> None:
    settings, told = shop
    settings = settings.model_copy(update={"serving": ServingSettings(unconfident_hits=False)})
    folder = settings.paths.training / "candidate"
    fitted = fit_candidate_ranker(settings, folder)
    save_ranker(folder, replace(fitted, confidence=None))
    report = EvaluationReport(truth="orders", requests=0, items=0, rows=[], slices={})
    release = load_release(write_release(settings, folder, report))
    assert (release.confidence, release.click_chance) == (None, told.click_chance)
    push(settings, release)
    promote(settings, release.id)
    with Retriever(settings) as retriever:
        for query in (FOREIGN[0], "red shoes", release.items.ids[7], ""):
            answer = retriever.retrieve(None, query, k=5)
            assert (answer.confident, len(answer.hits)) == (None, 5)
