"""``kill -9`` at each step from training to swap: one consistent release stays live, and the next run goes on."""

from __future__ import annotations

import signal

import pytest

from infra.settings import Settings
from orchestration.releases import completeness, read_verdict
from serving import Retriever
from serving.index import kept_release_ids, live_release_id, names_of
from tests.orchestration.conftest import SmallShop
from training.release.manifest import verify_release

pytestmark = [pytest.mark.kill, pytest.mark.slow]

OTHER_TOWERS = {"SHELFWISE_TRAINING__LEARNING_RATE": "0.0019"}
MOVES = ("pymilvus:MilvusClient.alter_alias", "pymilvus:MilvusClient.create_alias")
DEATHS = (
    ("towers", "in towers, weights written and nothing else", "1", "training.run.candidate:save_file"),
    ("towers", "in quality_prior", "1", "training.run.candidate:fit_prior"),
    ("quality_prior", "in ranker, nothing written", "1", "training.run.ranking:save_ranker"),
    ("ranker", "in evaluation, report written", "1", "training.evaluation.measure:write_evaluation"),
    ("evaluation", "in release, half written", "1", "training.release.writer:save_file"),
    ("release", "in item_index, rows not flushed", "1", "pymilvus:MilvusClient.upsert"),
    ("item_index", "in live, before the swap", "1", "orchestration.releases:push"),
    ("live", "between the two moves of the aliases", "1", *MOVES),
)
"""The step to start from, where it dies, and after how many calls of what; each run starts where the last one died."""


def assert_serves(settings: Settings, release_id: str, where: str) -> None:
    """That a release alone is live, whole on disk and in the index, and answers."""
    assert live_release_id(settings) == release_id, where
    assert kept_release_ids(settings)[0] == release_id, where
    verify_release(settings.paths.releases / release_id)
    gate = completeness(settings, release_id, names_of(settings).collection(release_id))
    assert gate.passed, f"{where}: {gate.reason}"
    with Retriever(settings) as retriever:
        answer = retriever.retrieve(None, "shoes", k=10)
    assert (answer.release_id, len(answer.hits), answer.fallbacks) == (release_id, 10, []), where


def test_killed_at_each_step_one_release_is_live_and_the_next_run_goes_on(demo_shop: SmallShop) -> None:
    settings = demo_shop.settings()
    before = live_release_id(settings)
    assert before is not None
    for step, where, *dying in DEATHS:
        died = demo_shop.run(step, *dying, module="tests.orchestration.dying_run", environment=OTHER_TOWERS)
        assert died.code == -signal.SIGKILL, f"{where}: {died.output}"
        assert_serves(settings, before, where)

    died = demo_shop.run("live", "2", *MOVES, module="tests.orchestration.dying_run", environment=OTHER_TOWERS)
    assert died.code == -signal.SIGKILL, died.output
    promoted = live_release_id(settings)
    assert promoted not in (None, before)
    assert_serves(settings, str(promoted), "after the second move")
    assert kept_release_ids(settings) == [promoted, before]

    ran = demo_shop.run("towers", module="tests.orchestration.dying_run")
    assert ran.code == 0, ran.output
    live = str(live_release_id(settings))
    assert_serves(settings, live, "at last")
    assert live != promoted
    assert read_verdict(settings, live).proven
    assert [folder.name for folder in settings.paths.releases.glob(".*") if folder.is_dir()] == []
