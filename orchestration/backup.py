"""A copy of a shop that another machine can go on from, and the way back.

Copied is what cannot be made again: what was read of the logs, features, releases and verdicts, and what lies in Redis
alone. Feature rows in Redis and collections in Milvus are made again from it (:mod:`orchestration.rebuild`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from features.store.session_copy import add_sessions, read_sessions
from infra.contract.partitions import write_json
from infra.run_lock import one_run
from infra.settings import Settings
from orchestration.rebuild import Rebuilt, rebuild
from serving.index import kept_release_ids
from serving.item_updates.log import UpdateLog

COPIED = ("catalog", "sessions", "quarantine", "features", "reports", "releases", "notices")
FILES = ("shop.json", "dagster/dagster.yaml")
SHOP, REDIS, MANIFEST, SETTINGS = "shop", "redis", "backup.json", "settings.json"
FORMAT = 1


class BackupError(ValueError):
    """A backup that cannot be written or used; the message says what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds; written last, so that one without it is no backup."""

    format: int
    shop: str
    made_at: str
    live: str | None
    before: str | None
    feed: str | None
    """Stamp of the stock file that was read last."""
    files: dict[str, str]
    """SHA-256 by path."""


def back_up(settings: Settings, to: Path) -> Manifest:
    """Copy a shop to a folder that is not there yet, while it is served.

    Raises:
        BackupError: the folder is there. RunInProgress: a run works on the shop.
        OnlineStoreUnavailable, IndexUnavailable: what lies there alone cannot be read.
    """
    if to.exists():
        raise BackupError(f"{to} is there already: name a folder that is not")
    partial = to.with_name(f".{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    root = settings.paths.root
    with one_run(settings):  # a run would write what is copied, and remove releases
        live, before, *_ = [*kept_release_ids(settings), None, None]
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, partial / SHOP / name, ignore=shutil.ignore_patterns("*.lock", ".*"))
        for name in FILES:
            if (root / name).is_file():
                (partial / SHOP / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, partial / SHOP / name)
    updates = UpdateLog(settings)
    updates.read()
    (partial / REDIS).mkdir(parents=True)
    pq.write_table(read_sessions(settings), partial / REDIS / "sessions.parquet")
    pq.write_table(updates.updates, partial / REDIS / "item_updates.parquet")
    feed = updates.feed()
    updates.close()
    write_json(partial / SETTINGS, settings.model_dump(mode="json", exclude_unset=True))  # secrets are stars in it
    made = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(FORMAT, settings.shop_name, made, live, before, feed, _hashes(partial))
    write_json(partial / MANIFEST, asdict(manifest))
    partial.rename(to)
    return manifest


def read_backup(folder: Path) -> Manifest:
    """The manifest of a backup, each of whose files is as it was written.

    Raises:
        BackupError: it is none, or not whole.
    """
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(f"{folder} is no whole backup, {MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(f"{folder} has format {manifest.format}, this version reads {FORMAT}")
    found = _hashes(folder)
    wrong = sorted(name for name in manifest.files.keys() | found if manifest.files.get(name) != found.get(name))
    if wrong:
        told = ", ".join(wrong[:3]) + (" ..." if len(wrong) > 3 else "")
        raise BackupError(
            f"{folder} is damaged, nothing was restored: {len(wrong)} files differ ({told}); take another"
        )
    return manifest


def restore(settings: Settings, folder: Path) -> tuple[Manifest, Rebuilt]:
    """Bring a shop back where there is none, and fill Redis and Milvus from it.

    What Redis has of updates of items stays: it is newer than the backup.

    Raises:
        BackupError: the backup is not whole, of another shop, or there is a shop.
        OnlineStoreUnavailable, IndexUnavailable: Redis or Milvus is away; ``shelfwise rebuild`` goes on.
    """
    manifest, root = read_backup(folder), settings.paths.root
    if manifest.shop != settings.shop_name:
        raise BackupError(
            f"{folder} is of shop {manifest.shop}, not of {settings.shop_name}: give --shop {manifest.shop}"
        )
    if root.exists() and any(root.iterdir()):
        raise BackupError(f"{root} is not empty: a restore overwrites nothing; move it away or set SHELFWISE_HOME")
    partial = root.with_name(f".{root.name}.restoring")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(folder / SHOP, partial)
    if root.exists():
        root.rmdir()
    partial.rename(root)
    rebuilt = rebuild(settings, manifest.live, manifest.before)
    add_sessions(settings, pq.read_table(folder / REDIS / "sessions.parquet"))
    updates = UpdateLog(settings)
    updates.read()
    if not len(updates.updates):
        updates.add(pq.read_table(folder / REDIS / "item_updates.parquet"), manifest.feed)
    updates.close()
    return manifest, rebuilt


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file but the manifest."""
    hashes = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (name := file.relative_to(folder).as_posix()) != MANIFEST:
            with file.open("rb") as content:
                hashes[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return hashes
