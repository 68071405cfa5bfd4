"""Which validation requests choose, and which judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contract.names import STOPPING_SHARE
from infra.contract.partitions import table_files
from infra.settings import Settings
from tests.training.conftest import with_training
from training.data.arrays import Arrays, prepare_arrays
from training.data.held_out import stopping_and_judging

MakeShop = Callable[..., Settings]


def users_of(settings: Settings, arrays: Arrays, requests: np.ndarray) -> set[str]:
    """The users of requests, by id."""
    files = [str(file) for file in table_files(settings.paths.training_set / "requests")]
    table = pq.read_table(files[0]) if len(files) == 1 else pq.ParquetDataset(files).read()
    ordered = table.sort_by([("time", "ascending"), ("query_id", "ascending")])["user_id"].to_pylist()
    return {ordered[row] for row in requests if ordered[row] is not None}


def test_who_chooses_one_night_does_not_judge_the_next(make_shop: MakeShop) -> None:
    tonight, tomorrow = (make_shop(f"shop{n}", requests=n, users=80) for n in (2_000, 3_000))
    arrays, later = prepare_arrays(tonight), prepare_arrays(tomorrow)
    chose, judged = (users_of(tonight, arrays, part) for part in stopping_and_judging(arrays))
    choose, judge = (users_of(tomorrow, later, part) for part in stopping_and_judging(later))
    assert chose and judged
    assert len(choose | judge) > len(chose & choose) > 5, "the logs have users in common"
    assert not chose & judge and not judged & choose and not chose & judged


def test_another_seed_draws_others(make_shop: MakeShop) -> None:
    settings = make_shop(requests=2_000)
    first, second = prepare_arrays(settings), prepare_arrays(with_training(settings, seed=8))
    assert not np.array_equal(first.request_person, second.request_person)
    assert ((first.request_person >= 0) & (first.request_person < 1)).all()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    from tests.training.conftest import SMALL
    from tests.training.toy_shop import ToyShop, write_toy_shop

    settings = Settings(home=tmp_path_factory.mktemp("held-out"), shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(requests=600))
    return prepare_arrays(settings)


@given(people=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_the_two_parts_share_no_person_and_leave_none_out(toy: Arrays, people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    person = rng.random(people)[rng.integers(0, people, len(toy.request_person))]
    stopping, judging = stopping_and_judging(replace(toy, request_person=person))
    everything = np.flatnonzero(toy.is_validation & (toy.clicked.lengths > 0))
    assert sorted([*stopping, *judging]) == everything.tolist()
    assert not set(person[stopping]) & set(person[judging])
    asked = np.unique(person[everything])
    assert len(judging), "somebody has to judge"
    assert bool(len(stopping)) == (len(asked) * STOPPING_SHARE >= 1)
    if len(stopping) and asked[-1] >= STOPPING_SHARE:
        assert (person[judging] >= STOPPING_SHARE).all()
