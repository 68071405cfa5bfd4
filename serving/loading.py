"""Loads a release from its folder, and makes it ready to serve."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from features.store.clock import clock_offset
from infra.contract.names import FEATURE_SERVICE
from infra.contract.request import NO_CONTEXT
from infra.settings import Settings
from serving.errors import IndexUnavailable
from serving.fields import filter_fields
from serving.filters import Filter
from serving.index.collection import check_collection
from serving.index.found import VectorIndex
from serving.index.kept import KeptIndex
from serving.index.kinds import choice_of
from serving.index.memory import MemoryIndex
from serving.index.milvus import MilvusIndex
from serving.index.names import names_of
from serving.ranking import Ranking
from serving.served import ServedRelease
from training.release.manifest import ReleaseError, SecondStageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.connection import Connection
    from training.release.release import Release

log = logging.getLogger(__name__)


def load_served(
    settings: Settings, release_id: str, connection: Connection | None = None, *, second_stage: bool = True
) -> ServedRelease:
    """Load a release from its folder, fetched where ``releases.url`` has it alone, and what searches its items.

    Args:
        connection: to Milvus. Where FAISS searches, the collection is read through it and must be what the release
            says. Where it is down, the release's own vectors, whose hashes are checked, are searched unread. None:
            searched in memory whatever the settings say.
        second_stage: False: nothing is read of it, and ``second_stage_failed`` is said of a release that has one.

    Raises:
        ReleaseError: the folder is missing, cannot be fetched, or is not what its manifest says.
        SecondStageError: its second stage is damaged.
        IncompleteCollection: the collection does not hold the items and vectors of the release.
        IndexUnavailable: Milvus went away while the collection was read.
    """
    from serving.connection import failures
    from training.release.places import release_folder
    from training.release.release import load_release

    release = load_release(release_folder(settings, release_id))
    if release.manifest.feature_service != FEATURE_SERVICE:
        raise ReleaseError(
            f"release {release_id} reads the feature service {release.manifest.feature_service}, this program serves"
            f" {FEATURE_SERVICE}: start it again if the release is newer than it, else train again"
        )
    if release.id != release_id:
        raise ReleaseError(f"the folder of release {release_id} holds release {release.id}: copy the right one")
    _ = release.encoder  # loaded now: text weights that are not installed here are no matter of the first request
    fields, choice, threads = filter_fields(release.items.table), choice_of(release), settings.serving.threads
    exact = MemoryIndex(release.items.vectors, fields.columns, threads=threads)
    index: VectorIndex = exact
    name = names_of(settings).collection(release_id)
    if connection is not None and settings.index.searched_by == "milvus":
        timeout_s = settings.serving.index_timeout_ms / 1000
        index = MilvusIndex(connection, name, release.items.ids, choice, exact, timeout_s)
    else:
        if connection is not None and connection.up:
            with failures():
                check_collection(connection.client(), name, release)
        if choice.type != "FLAT":
            kept = KeptIndex(settings.paths.built_indexes, release.id, settings.paths.releases)
            index = MemoryIndex(release.items.vectors, fields.columns, choice, threads, kept)
    return ServedRelease(
        release=release,
        index=index,
        exact=exact,
        fields=fields,
        clock_offset=clock_offset(release.manifest.trained_at, release.manifest.data_until),
        min_score=settings.serving.min_score,
        diversity=settings.serving.diversity,
        ranking=_ranking(release, settings.serving.second_stage) if second_stage else None,
        second_stage_failed=release.has_ranker and not second_stage,
    )


def _ranking(release: Release, by_ranker: bool) -> Ranking | None:
    try:
        ranker = release.ranker if by_ranker else release.towers_ranker
        return None if ranker is None else Ranking(release, ranker)
    except ReleaseError as error:
        raise SecondStageError(str(error)) from error
    except Exception as error:
        raise SecondStageError(
            f"the second stage of release {release.id} cannot be read ({error}): train again"
        ) from error


def warm(served: ServedRelease, connection: Connection | None = None, timeout_s: float = 30.0) -> None:
    """Run the tower and the search once, so that no request pays for what is made on first use.

    Raises:
        IndexUnavailable: Milvus, where it searches, is away or does not have the collection.
        SecondStageError: the second stage fails.
    """
    vector = served.release.encoder.encode("warm up")[None]
    if isinstance(served.index, MilvusIndex) and connection is not None:
        served.index.prove(connection.client(), vector.shape[1], timeout_s)
    if not served.index.search(vector, 1, Filter()).rows.size:
        raise IndexUnavailable(f"the index of release {served.release.id} answers with nothing")
    warm_in_memory(served)


def warm_in_memory(served: ServedRelease) -> None:
    """As :func:`warm`, of all that needs nothing but this process.

    Raises:
        SecondStageError: the second stage fails.
    """
    served.fields.warm()
    vector = served.release.encoder.encode("warm up")[None]
    towers = served.search_memory(vector, served.depth(1), Filter())
    try:
        served.corrected("wamrup")
        served.ranked(["warm up"], [NO_CONTEXT], vector, towers, 1, Filter())
        served.fits(["warm up"], vector, towers, Filter())
    except Exception as error:
        raise SecondStageError(
            f"the second stage of release {served.release.id} fails ({error}): train again"
        ) from error


def serving_anyway(
    settings: Settings, release_id: str, load: Callable[..., ServedRelease], *, only_one: bool = False
) -> ServedRelease:
    """What ``load`` gives, without the second stage where that is damaged and must not keep the release from serving:
    it was turned off, or there is no other release.

    Raises:
        SecondStageError: it is damaged, and neither is the case.
    """
    try:
        return load(second_stage=True)
    except SecondStageError as error:
        if settings.serving.second_stage and not only_one:
            raise
        log.warning("release %s serves without its second stage, which is damaged", release_id, exc_info=error)
        return load(second_stage=False)
