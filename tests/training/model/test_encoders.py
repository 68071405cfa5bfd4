"""The parts of the towers: what reaches whom, and what must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Settings
from tests.training.conftest import with_training
from training.data.arrays import Arrays, prepare_arrays
from training.data.batches import BatchMaker
from training.data.ragged import Ragged, empty_rows
from training.model.encoders.graph import neighbour_means, weighted_means
from training.model.encoders.scalars import known_and_value
from training.model.encoders.terms import TermEncoder, mean_of
from training.model.encoders.text import LEAST_UNKNOWN_GAIN, TEXT_GAIN, UNKNOWN_GAIN, TextPart
from training.model.encoders.user import UserEncoder
from training.model.encoding import encode_catalog
from training.model.inputs import ItemInputs, look_up
from training.model.towers import Towers
from training.run.new_towers import new_towers

MakeShop = Callable[..., Settings]


@pytest.fixture
def graph(make_shop: MakeShop) -> tuple[Arrays, Towers, BatchMaker, np.ndarray]:
    settings = with_training(make_shop(requests=600), graph_dropout=0.0)
    arrays = prepare_arrays(settings)
    towers = new_towers(settings.training, arrays)
    examples = np.flatnonzero((arrays.clicked.lengths > 0) & ~arrays.is_validation)
    return arrays, towers, BatchMaker(arrays, towers.config, settings.training), examples


def without_tokens(targets: ItemInputs) -> ItemInputs:
    return replace(targets, tokens=tuple(empty_rows(len(group)) for group in targets.tokens))


def test_no_gradient_reaches_the_tokens_through_neighbours(
    graph: tuple[Arrays, Towers, BatchMaker, np.ndarray],
) -> None:
    _, towers, maker, examples = graph
    batch = maker.make(examples[-64:], 0)
    assert (batch.targets.neighbours >= 0).any()
    targets = without_tokens(batch.targets)
    towers.train()
    _, items = look_up(towers, batch.queries, targets)
    assert items.neighbours.abs().sum() > 0
    assert not items.neighbours.requires_grad
    torch.autograd.backward((towers.encode_items(items) * torch.randn(len(targets), towers.config.width)).sum())
    gradient = towers.terms.tokens.weight.grad
    assert gradient is None or not gradient.any()
    assert towers.neighbour_weight.grad is not None
    assert towers.neighbour_weight.grad.abs() > 0


def test_items_that_nobody_met_are_the_same_whatever_the_graph_weighs(
    graph: tuple[Arrays, Towers, BatchMaker, np.ndarray],
) -> None:
    arrays, towers, _, _ = graph
    met = arrays.edges.heaviest(arrays.cut, 1)[0].lengths > 0
    assert met.any()
    assert not met.all()
    before = encode_catalog(towers, arrays, arrays.cut, kept=32)
    with torch.no_grad():
        towers.neighbour_weight.add_(2.0)
    after = encode_catalog(towers, arrays, arrays.cut, kept=32)
    np.testing.assert_array_equal(before[~met], after[~met])
    assert (np.abs(before - after).max(axis=1) > 1e-4)[met].all()


def test_a_step_reads_neighbours_as_the_catalogue_does(graph: tuple[Arrays, Towers, BatchMaker, np.ndarray]) -> None:
    """An item whose every neighbour is one query has one vector, sampled or not."""
    arrays, towers, _, _ = graph
    near, weights = arrays.edges.heaviest(arrays.end, 9)
    item = int(np.flatnonzero(near.lengths == 1)[0])
    (queries,) = towers.terms(arrays.query_tokens.take(near[item].astype(np.int64)))
    sampled, met = neighbour_means(queries, torch.tensor([[0, 0, -1]]))
    start = near.offsets[item]
    whole = weighted_means(
        queries, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64),
        torch.from_numpy(weights[start : start + 1]), 1,
    )  # fmt: skip
    torch.testing.assert_close(sampled, whole.detach())
    assert met.item() == 1


def test_weighted_means_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    queries = torch.from_numpy(rng.normal(size=(5, 3)))
    rows, neighbours = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([1, 4, 0, 0, 3])
    weights = torch.tensor([1.0, 3.0, 2.0, 2.0, 4.0])
    got = weighted_means(queries, rows, neighbours, weights, 4)
    expected = torch.zeros(4, 3, dtype=torch.float64)
    expected[0] = (queries[1] + 3 * queries[4]) / 4
    expected[2] = (4 * queries[0] + 4 * queries[3]) / 8
    torch.testing.assert_close(got, expected)


@given(st.lists(st.lists(st.integers(-1, 4), min_size=3, max_size=3), min_size=1, max_size=5))
def test_means_of_what_is_there(index: list[list[int]]) -> None:
    rows = torch.arange(10.0).reshape(5, 2)
    mean, there = mean_of(rows, torch.tensor(index))
    for row, found, is_there in zip(index, mean, there, strict=True):
        kept = [i for i in row if i >= 0]
        assert bool(is_there) == bool(kept)
        expected = rows[kept].mean(0) if kept else torch.zeros(2)
        torch.testing.assert_close(found, expected)
    nothing, there = mean_of(rows[:0], torch.tensor(index).clamp(max=-1))
    assert not nothing.any()
    assert not there.any()


def test_terms_are_means_of_tokens_in_every_part() -> None:
    terms = TermEncoder(7, 3)
    first = Ragged(np.array([0, 2, 2]), np.array([1, 5], dtype=np.int32))
    second = Ragged(np.array([0, 1]), np.array([6], dtype=np.int32))
    a, b, nothing = terms(first, second, empty_rows(0))
    torch.testing.assert_close(a[0], terms.tokens.weight[[1, 5]].mean(0))
    assert not a[1].any()
    torch.testing.assert_close(b[0], terms.tokens.weight[6])
    assert nothing.shape == (0, 3)


def test_figures_carry_whether_they_are_known() -> None:
    values = known_and_value(torch.tensor([[0.0, float("nan"), 0.75]]))
    assert values.tolist() == [[-0.5, 0.0, 0.25, 1.0, 0.0, 1.0]]


def test_padding_of_a_history_has_no_influence() -> None:
    torch.manual_seed(0)
    user = UserEncoder(8, heads=4, searches=3, brands=2).eval()
    query, texts, labels = torch.randn(1, 8), torch.randn(4, 8), torch.randn(2, 8)
    padded = user(query, texts, torch.tensor([[2, -1, -1]]), labels, torch.tensor([[1, -1]]))
    short = user(query, texts, torch.tensor([[2]]), labels, torch.tensor([[1]]))
    torch.testing.assert_close(padded, short)
    nobody = user(query, texts, torch.tensor([[-1, -1, -1]]), labels, torch.tensor([[-1, -1]]))
    none = user(
        query, texts[:0], torch.zeros(1, 0, dtype=torch.int64), labels[:0], torch.zeros(1, 0, dtype=torch.int64)
    )
    torch.testing.assert_close(nobody, none)
    assert not torch.allclose(nobody, padded)
    swapped = user(query, texts, torch.tensor([[-1, 2, -1]]), labels, torch.tensor([[1, -1]]))
    assert not torch.allclose(swapped, padded)


def test_text_starts_as_the_encoders_own_similarity() -> None:
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(30, 4)).astype(np.float32) @ rng.normal(size=(4, 12)).astype(np.float32)
    texts[3] = 0
    part = TextPart(12, 6)
    part.start_from(texts, seed=1)
    rows = torch.from_numpy(texts)
    queries, items = part.queries(rows, torch.ones(30, 1)), part.items(rows)
    gain = (queries[0].norm() * items[0].norm()).item()
    cosine = torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T
    torch.testing.assert_close(queries @ items.T, gain * cosine, atol=1e-4, rtol=0)
    assert not queries[3].any()


def test_a_query_that_nobody_asked_leans_on_its_text_where_it_is_searched() -> None:
    part, texts = TextPart(12, 6), torch.randn(2, 12)
    share = torch.tensor([[0.0], [1.0]])
    trained = part.queries(texts, share).norm(dim=1)
    searched = part.eval().queries(texts, share).norm(dim=1)
    torch.testing.assert_close(trained, torch.tensor([UNKNOWN_GAIN, TEXT_GAIN]))
    torch.testing.assert_close(searched, torch.tensor([LEAST_UNKNOWN_GAIN, TEXT_GAIN]))
    with torch.no_grad():
        part.gains[0] = 3.0
    assert part.queries(texts, share)[0].norm().item() == pytest.approx(np.exp(3.0), rel=1e-5), "what is more stays"
