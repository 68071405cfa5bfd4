"""Where releases travel between machines that share no disk: a folder or an fsspec URL that holds those that went live.

One folder per release, as it lies on disk. Its manifest is written last and removed first, so a release is there whole
or not at all.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from training.release.manifest import (
    CLOCK,
    MANIFEST,
    ReleaseError,
    ReleaseInfo,
    check_manifest,
    file_entry,
    parse_manifest,
    trained_at,
    verify_release,
)

log = logging.getLogger(__name__)

UNFINISHED_FOR = timedelta(days=1)
"""A folder without a manifest that nothing was written into for so long is what a killed copy left."""
FETCHING = ".fetching-"
"""Begins the name of a folder that a release is fetched into."""
BLOCK_BYTES, PIECE_BYTES = 16 * 2**20, 2**20
"""Of a request, and of a copy, so that memory is bounded: s3fs's own ``put_file`` and ``get_file`` needed 760 MiB for a
file of 400 MB."""
RELEASE_ID = re.compile(r"[A-Za-z0-9]{1,64}")


class StoreUnavailable(ReleaseError):  # noqa: N818 - named for the state that it reports
    """What lies behind ``releases.url`` cannot be read or written now."""


class ReleaseStore:
    """The releases of a shop behind a URL."""

    def __init__(self, url: str) -> None:
        """Raises StoreUnavailable where its protocol is not known, its package not installed, or a folder not there."""
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        self.url = url
        # The package of a protocol is missing more often than the protocol.
        with self._failures("opened; its fsspec package has to be installed (s3fs for s3://, gcsfs for gs://)"):
            self._files, self._root = url_to_fs(url)
        self._is_folder = isinstance(self._files, LocalFileSystem)
        above = Path(self._root).parent
        if self._is_folder and not above.is_dir():  # made here, it would be this machine's alone
            raise StoreUnavailable(f"{above} (releases.url) is no folder of this machine: mount it, or make it")

    def __contains__(self, release_id: str) -> bool:
        """Whether a release is there whole. Raises StoreUnavailable."""
        with self._failures("read"):
            self._files.invalidate_cache()
            return bool(self._files.exists(f"{self._root}/{release_id}/{MANIFEST}"))

    def publish(self, folder: Path) -> bool:
        """Copy a release there, its manifest last; return False where it is there already, which is left as it is.

        Raises:
            ReleaseError: the folder is missing or damaged. StoreUnavailable: it cannot be written.
        """
        if folder.name in self:
            return False
        began, files = time.monotonic(), verify_release(folder)["files"]
        with self._failures(f"written, release {folder.name} did not travel"):
            for name in (*files, MANIFEST):
                self._put(folder / name, f"{self._root}/{folder.name}/{name}")
        log.info("release %s is at %s, %s", folder.name, self.url, _told(files, began))
        return True

    def fetch(self, release_id: str, releases: Path) -> Path:
        """The folder ``releases / release_id``; where there is none it is made of what is there, whole or not at all.

        One process of a machine fetches at a time, others wait for it. What a killed fetch left is gone on with, by the
        hashes.

        Raises:
            ReleaseError: it is not there, or not what its manifest says. StoreUnavailable: it cannot be read.
        """
        target = releases / _checked(release_id)
        if target.is_dir():
            return target
        began = time.monotonic()
        with self._failures(f"fetched from, release {release_id} is not on this machine"):
            releases.mkdir(parents=True, exist_ok=True)
            with FileLock(releases / ".fetch.lock"):
                if not target.is_dir():
                    files = self._fetch(release_id, target)
                    log.info("release %s is fetched from %s, %s", release_id, self.url, _told(files, began))
        return target

    def releases(self) -> list[ReleaseInfo]:
        """The releases there, the newest first; ``path`` is where it is there. Raises StoreUnavailable."""
        found = []
        with self._failures("listed"):
            for release_id in self._folders():
                if self._files.exists(f"{self._root}/{release_id}/{MANIFEST}"):
                    clock = json.loads(self._files.cat_file(f"{self._root}/{release_id}/{CLOCK}"))
                    found.append(ReleaseInfo(release_id, Path(self._root, release_id), trained_at(clock)))
        return sorted(found, key=lambda r: (r.trained_at, r.id), reverse=True)

    def delete(self, release_id: str) -> None:
        """Remove a release. Raises StoreUnavailable."""
        folder = f"{self._root}/{_checked(release_id)}"
        with self._failures("cleaned"):
            # Its manifest first: killed halfway, no half of a release is listed or fetched.
            self._files.rm_file(f"{folder}/{MANIFEST}")
            self._files.rm(folder, recursive=True)

    def clean(self, keep: Collection[str], newest: int) -> list[str]:
        """Remove releases beyond the ``newest``, never one of ``keep``, and what killed copies left; return their ids.

        Raises:
            StoreUnavailable: it cannot be listed or written.
        """
        whole = [release.id for release in self.releases()]
        removed = [release_id for release_id in whole[newest:] if release_id not in keep]
        for release_id in removed:
            self.delete(release_id)
        with self._failures("cleaned"):
            for release_id in self._folders():
                if release_id not in whole and self._is_left(f"{self._root}/{release_id}"):
                    self._files.rm(f"{self._root}/{release_id}", recursive=True)
        return removed

    def _folders(self) -> list[str]:
        self._files.invalidate_cache()
        if not self._files.exists(self._root):
            return []
        names = [str(path).rstrip("/").rsplit("/", 1)[-1] for path in self._files.ls(self._root, detail=False)]
        return [name for name in names if RELEASE_ID.fullmatch(name)]

    def _is_left(self, folder: str) -> bool:
        listed = self._files.find(folder, detail=True).items()  # of an empty folder, where there are such, itself
        files = [path for path, entry in listed if entry["type"] == "file"]
        return bool(files) and max(map(self._files.modified, files)) < datetime.now(UTC) - UNFINISHED_FOR

    def _put(self, source: Path, target: str) -> None:
        if self._is_folder:  # object stores have no folders to be made
            self._files.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        # A folder's file can be seen half written, unlike an object; what is moved is there whole.
        written = f"{target}.{uuid.uuid4().hex}" if source.name == MANIFEST else target
        with source.open("rb") as file, self._files.open(written, "wb", block_size=BLOCK_BYTES) as there:
            shutil.copyfileobj(file, there, PIECE_BYTES)
        if written != target:
            self._files.mv(written, target)

    def _fetch(self, release_id: str, target: Path) -> Mapping[str, Any]:
        source, partial = f"{self._root}/{release_id}", target.with_name(FETCHING + release_id)
        for left in target.parent.glob(f"{FETCHING}*"):
            if left != partial:
                shutil.rmtree(left)
        self._files.invalidate_cache()
        try:
            text = self._files.cat_file(f"{source}/{MANIFEST}")
        except FileNotFoundError as error:
            raise ReleaseError(
                f"release {release_id} is neither on this machine nor at {self.url}: `shelfwise promote {release_id}`"
                " on the machine that trained it copies it there"
            ) from error
        manifest = parse_manifest(text, f"{self.url}/{release_id}")
        check_manifest(manifest, release_id)
        if manifest["id"] != release_id:
            raise ReleaseError(f"{self.url}/{release_id} holds release {manifest['id']}: copy the right one there")
        for name, entry in manifest["files"].items():
            self._fetch_file(f"{source}/{name}", partial / name, entry)
        (partial / MANIFEST).write_bytes(text)
        partial.rename(target)
        files: Mapping[str, Any] = manifest["files"]
        return files

    def _fetch_file(self, source: str, file: Path, entry: Mapping[str, Any]) -> None:
        if file.is_file() and file_entry(file) == entry:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._files.open(source, "rb", block_size=BLOCK_BYTES) as there, file.open("wb") as here:
            shutil.copyfileobj(there, here, PIECE_BYTES)
        if file_entry(file) != entry:
            file.unlink()
            raise ReleaseError(
                f"{source} is not what the manifest says, and was not kept: remove that release there and"
                " `shelfwise promote` it again where it is whole, or promote another"
            )

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        try:
            yield
        except ReleaseError:
            raise
        except Exception as error:  # each protocol's package has errors of its own, and not all are of OSError
            told = str(error) or type(error).__name__
            raise StoreUnavailable(f"{self.url} (releases.url) cannot be {what}: {told}") from error


def _checked(release_id: str) -> str:
    if not RELEASE_ID.fullmatch(release_id):
        raise ReleaseError(f"{release_id!r} is no release id: it has letters and digits only")
    return release_id


def _told(files: Mapping[str, Any], began: float) -> str:
    size = sum(entry["size"] for entry in files.values())
    return f"{len(files)} files, {size / 1e6:.1f} MB in {time.monotonic() - began:.1f} s"
