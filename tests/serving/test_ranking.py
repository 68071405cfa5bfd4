"""The second stage as it serves: the order that was evaluated, explained, filtered, and never without an answer."""

from pathlib import Path

import numpy as np
import pytest

from infra.contract.request import RequestContext
from infra.settings import Settings
from serving.ranking import Ranking
from tests.training.conftest import SMALL
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.data.arrays import Arrays, prepare_arrays
from training.evaluation import EvaluationReport
from training.model.search import exact_top
from training.ranking.candidates import DEPTH
from training.ranking.fitting import FittedRanker
from training.release.release import Release, load_release
from training.release.writer import write_release
from training.run.candidate import fit_candidate_prior, load_candidate, load_prior, save_candidate
from training.run.new_towers import new_towers
from training.run.ranking import fit_candidate_ranker, second_stage

NO_REPORT = EvaluationReport(truth="orders", requests=0, items=0, rows=[], slices={})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Arrays, FittedRanker, Release]:
    """A shop of untrained towers: what is found well is found by the second stage."""
    settings = Settings(home=tmp_path_factory.mktemp("ranking"), shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(requests=2_000))
    arrays = prepare_arrays(settings)
    folder = settings.paths.training / "candidate"
    told = {"examples": 0, "curve": [], "best_epoch": 0, "recipe": SMALL.recipe, "encoders": [],
            "settings": settings.training.model_dump(mode="json")}  # fmt: skip
    save_candidate(folder, new_towers(settings.training, arrays), told)
    fit_candidate_prior(settings, folder)
    ranker = fit_candidate_ranker(settings, folder)
    return settings, arrays, ranker, load_release(write_release(settings, folder, NO_REPORT))


def contexts_of(arrays: Arrays, requests: np.ndarray) -> list[RequestContext]:
    ids = arrays.catalog()["item_id"].to_pylist()

    def named(row: np.ndarray) -> list[str]:
        return [ids[item] for item in row if item >= 0]

    return [
        # an order of what the catalogue no longer has has no place among the others, for neither side
        RequestContext(
            recent_items=named(arrays.recent_items[r]), order_history=["gone", *named(arrays.order_history[int(r)])]
        )
        for r in requests
    ]


def towers_of(release: Release, vectors: np.ndarray, allowed: np.ndarray | None = None) -> list[tuple]:
    rows = np.arange(len(release.items.ids)) if allowed is None else np.flatnonzero(allowed)
    found, scores = exact_top(vectors, release.items.vectors[rows], DEPTH if allowed is None else len(rows))
    return list(zip(rows[found], scores, strict=True))


@pytest.mark.parametrize("personalized", [True, False])
def test_what_serves_is_what_was_evaluated(
    shop: tuple[Settings, Arrays, FittedRanker, Release], personalized: bool
) -> None:
    settings, arrays, ranker, release = shop
    folder: Path = settings.paths.training / "candidate"
    stage = second_stage(settings, arrays, load_candidate(folder), load_prior(folder), arrays.end)
    stage = stage if personalized else stage.without_users()
    requests = np.flatnonzero(arrays.item_available.max() <= arrays.request_time)[-40:]
    contexts = contexts_of(arrays, requests) if personalized else [RequestContext()] * len(requests)
    assert len(requests) > 10 and ranker.choices["known"].serves != "towers"
    served = Ranking(release, ranker.ranker)
    vectors = stage.encode(requests)
    asked = np.concatenate([vectors, vectors[:1]])
    texts = arrays.query_texts().take(arrays.request_query[requests]).to_pylist()

    found = served.order(
        [*texts, "a lamp of the unasked kind"],
        [*contexts, RequestContext()],
        asked,
        towers_of(release, asked),
        100,
        None,
    )

    evaluated = stage.search(ranker.ranker, requests, 100)
    for (rows, scores), expected in zip(found[:-1], evaluated, strict=True):
        assert rows.tolist() == expected.tolist()
        assert (np.diff(scores) <= 0).all()
    assert len(found[-1][0]) == 100


def test_a_known_query_with_a_slip_has_what_the_graph_has_for_it(
    shop: tuple[Settings, Arrays, FittedRanker, Release],
) -> None:
    _, _, ranker, release = shop
    served, graph = Ranking(release, ranker.ranker), release.sources.graph
    for typed, meant in (("grene lamp", "green lamp"), ("yelow bicicle", "yellow bicycle"), ("redphone", "red phone")):
        assert not graph.known([typed])[0]
        assert served.corrected(typed) == meant and graph.known([meant])[0]
        assert (graph.walked([served.corrected(typed)]).visits != graph.walked([meant]).visits).nnz == 0
    assert served.corrected("green lamp") == "green lamp"


def test_an_item_is_found_by_its_own_number(shop: tuple[Settings, Arrays, FittedRanker, Release]) -> None:
    _, _, _, release = shop
    item = release.items.ids[123]
    scores = release.sources.lexical.scores([item.lower(), "red"])
    assert scores[0].argmax() == 123 and (scores[0] > 0).sum() == 1
    assert (scores[1] > 0).sum() > 10


@pytest.mark.parametrize("rule", ["learned", "towers", "hybrid"])
def test_an_item_asked_for_by_its_number_is_the_first(
    shop: tuple[Settings, Arrays, FittedRanker, Release], rule: str
) -> None:
    settings, arrays, fitted, release = shop
    ranker = fitted.ranker
    if rule != "learned":
        ranker = FittedRanker.of_rules(ranker.features, {"known": rule, "unknown": rule}).ranker
    served = Ranking(release, ranker)
    texts = [release.items.ids[row].lower() for row in (5, 599)]
    vectors = release.encoder.encode_many(texts, [RequestContext()] * 2)
    allowed = np.ones(len(release.items.ids), dtype=np.bool_)

    found = served.order(texts, [RequestContext()] * 2, vectors, towers_of(release, vectors), 10, allowed)

    assert [rows[0] for rows, _ in found] == [5, 599]
    assert all(len(set(rows.tolist())) == 10 and (np.diff(scores) <= 0).all() for rows, scores in found)
    folder = settings.paths.training / "candidate"
    stage = second_stage(settings, arrays, load_candidate(folder), load_prior(folder), arrays.end)
    assert stage.search_texts(ranker, texts, vectors, None, 10).tolist() == [rows.tolist() for rows, _ in found]
    allowed[5] = False
    ((rows, _),) = served.order(
        texts[:1], [RequestContext()], vectors[:1], towers_of(release, vectors[:1]), 10, allowed
    )
    assert 5 not in rows[:1]


def test_a_filter_holds_in_all_sources_and_parts_add_up(
    shop: tuple[Settings, Arrays, FittedRanker, Release],
) -> None:
    _, arrays, ranker, release = shop
    served = Ranking(release, ranker.ranker)
    allowed = np.zeros(len(release.items.ids), dtype=np.bool_)
    allowed[::7] = True
    bought = [release.items.ids[i] for i in (7, 8, 7)]
    context = RequestContext(order_history=bought, recent_items=["unknown to the release", *bought])
    (text,) = arrays.query_texts().take([int(arrays.request_query[-1])]).to_pylist()
    vector = release.encoder.encode(text, context)
    towers = towers_of(release, vector[None], allowed)

    ((rows, scores),) = served.order([text], [context], vector[None], towers, 1_000, allowed)

    assert sorted(rows.tolist()) == np.flatnonzero(allowed).tolist()
    why = served.explain(text, context, vector, towers[0][0][:DEPTH], allowed)
    assert {7} <= set(why) <= set(rows.tolist())
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        assert sum(why[row].parts.values()) == pytest.approx(score, rel=1e-4, abs=1e-4)
    assert set(why[7].places) <= {"towers", "lexical", "graph"}
    assert all(place >= 1 for one in why.values() for place in one.places.values())


def test_it_is_personal_where_weights_of_the_user_are_in_force(
    shop: tuple[Settings, Arrays, FittedRanker, Release],
) -> None:
    _, arrays, ranker, release = shop
    bought = RequestContext(order_history=[release.items.ids[3]])
    rules = FittedRanker.of_rules(ranker.ranker.features, {"known": "towers", "unknown": "hybrid"}).ranker
    (text,) = arrays.query_texts().take([int(arrays.request_query[0])]).to_pylist()
    assert ranker.choices["known"].serves == "learned"
    assert Ranking(release, ranker.ranker).is_personal(text, bought)
    assert not Ranking(release, ranker.ranker).is_personal(text, RequestContext(recent_queries=["mug"]))
    assert not Ranking(release, rules).is_personal(text, bought)
