"""Group serving: item vectors in Milvus, the live alias, and a look at what comes back."""

from dataclasses import asdict

import dagster as dg

from infra.contract.content import file_hash
from orchestration.assets.common import LOCKED, OWNERS, RETRY, not_retried, progress_to
from orchestration.assets.features import online_features
from orchestration.assets.raw import catalog as catalog_asset
from orchestration.catalog_release import release_catalog
from orchestration.metadata import rounded, table
from orchestration.releases import PromotionRefused, clean, make_live
from orchestration.samples import side_by_side
from orchestration.shop import shop_settings
from orchestration.values import CandidateRelease, IndexedRelease
from orchestration.versions import code_version, data_version
from serving import Retriever
from serving.index import live_release_id, push
from training.release.release import load_release
from training.text import TextEncoderError


@dg.asset(
    group_name="serving",
    kinds={"milvus", "bm25s"},
    owners=OWNERS,
    code_version=code_version("catalog_release"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[catalog_asset],
)
def catalog_release() -> dg.MaterializeResult:
    """The catalogue alone, by a pretrained text encoder and BM25: live from the first minutes on, until towers that
    learned from the log find no less."""
    settings = shop_settings()
    with not_retried(PromotionRefused, TextEncoderError):
        outcome = release_catalog(settings, progress_to("catalog_release"))
    removed = clean(settings)
    return dg.MaterializeResult(
        # what is live tells nothing new of the catalogue: a second run on the same one changes nothing
        data_version=data_version(file_hash(settings.paths.catalog)),
        metadata={
            "release": outcome.release or "none",
            "what became of it": outcome.told,
            "before": outcome.before or "nothing",
            "removed": ", ".join(removed) or "none",
        },
    )


@dg.asset(
    group_name="serving",
    kinds={"milvus"},
    owners=OWNERS,
    code_version=code_version("item_index"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
)
def item_index(release: CandidateRelease) -> dg.MaterializeResult[IndexedRelease]:
    """Item vectors and filter fields of the new release, in a collection of its own; nothing reads it yet."""
    settings = shop_settings()
    report = push(settings, load_release(settings.paths.releases / release.id))
    return dg.MaterializeResult(
        value=IndexedRelease(release.id, release.candidate, report.collection),
        data_version=data_version(report.collection),
        metadata={
            "release": release.id,
            "collection": report.collection,
            "dagster/row_count": report.rows,
            "seconds": rounded(report.seconds),
            "fields without a filter": ", ".join(report.left_out) or "none",
        },
    )


@dg.asset(
    group_name="serving",
    kinds={"milvus"},
    owners=OWNERS,
    code_version=code_version("live"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[online_features],
)
def live(item_index: IndexedRelease) -> dg.MaterializeResult:
    """The release that serves: the alias moves in one step and is verified after; the one before is kept.

    It asks the gates itself: this asset can be materialized alone, without the checks before it."""
    settings = shop_settings()
    with not_retried(PromotionRefused):
        before = make_live(settings, item_index.id)
    removed = clean(settings)
    return dg.MaterializeResult(
        data_version=data_version(item_index.id),
        metadata={
            "live": live_release_id(settings),
            "before": before or "nothing",
            "removed": ", ".join(removed) or "none",
        },
    )


@dg.asset(
    group_name="serving",
    kinds={"python"},
    owners=OWNERS,
    code_version=code_version("sample_results"),
    required_resource_keys=LOCKED,
    deps=[live],
)
def sample_results() -> dg.MaterializeResult:
    """The same query for two users with different tastes and for an unknown user."""
    settings = shop_settings()
    with Retriever(settings) as retriever:
        sample = side_by_side(settings, retriever)
    rows = [
        {"rank": rank} | dict(zip((name for name, _ in sample.users), titles, strict=True))
        for rank, titles in enumerate(zip(*sample.columns, strict=True), start=1)
    ]
    return dg.MaterializeResult(
        data_version=data_version(asdict(sample)),
        metadata={
            "query": sample.query,
            "results": table(rows),
            "users": table([{"user": name, "history": history} for name, history in sample.users]),
        },
    )
