"""Redis and Milvus filled again from what is on disk: after either was lost, and after a restore."""

from __future__ import annotations

from dataclasses import dataclass

from features.data_end import data_end
from features.store.materialize import materialize
from infra.contract.partitions import written_days
from infra.settings import Settings
from orchestration.releases import make_live, read_verdict
from serving.index import kept_release_ids, last_known_live
from training.release.manifest import ReleaseError
from training.release.places import known_releases


@dataclass(frozen=True)
class Rebuilt:
    """What was filled again."""

    rows: dict[str, int]
    """Written to Redis, by view; those that were there are not written again."""
    live: str | None
    before: str | None


def rebuild(settings: Settings, live: str | None = None, before: str | None = None) -> Rebuilt:
    """Publish the features on disk and push the live release and the one before it.

    Args:
        live: None: what Milvus says, else what was live last by the note beside the releases.
        before: None: what Milvus says, else the newest other release that passed the gates.

    Raises:
        OnlineStoreUnavailable, IndexUnavailable: Redis or Milvus does not answer. ReleaseError: a release is damaged.
    """
    known = kept_release_ids(settings)
    live = live or (known[0] if known else last_known_live(settings))
    on_disk = [release.id for release in known_releases(settings)]
    if live is not None and live not in on_disk:
        raise ReleaseError(
            f"release {live}, which was live, is not on disk: `shelfwise releases` lists those there are"
        )
    proven = [one for one in on_disk if one != live and read_verdict(settings, one).proven]
    before = before or next(iter([*known[1:], *proven]), None)
    if live is not None and known[:1] != [live] and before in on_disk:
        make_live(settings, str(before), force=True)  # so that it is what a roll-back finds
    if live is not None:
        make_live(settings, live, force=True)
    has_log = bool(written_days(settings.paths.sessions / "requests"))
    rows = materialize(settings, until=data_end(settings)).rows if has_log else {}
    return Rebuilt({str(name): count for name, count in rows.items()}, live, before)
