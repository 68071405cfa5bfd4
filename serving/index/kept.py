"""Built FAISS indexes, kept on this machine: what takes seconds to minutes to build is read in milliseconds.

A release says which index searches it, and carries none: it would be of one machine's kind, and as large as the
vectors. The first process that serves a release builds it and leaves it here for the next ones. A file is named by all
that it follows from, and one that cannot be read is built again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss

from serving.index.kinds import IndexChoice

log = logging.getLogger(__name__)

VERSION = 1
"""Raised when the same choice is built otherwise."""
UNFINISHED_S = 3_600
"""Age from which a file that was never moved to its place is of a process that died."""


@dataclass(frozen=True)
class KeptIndex:
    """Where the index of a release is kept."""

    folder: Path
    release_id: str
    releases: Path
    """Where the releases lie: the index of one that is gone goes too."""

    def read(self, choice: IndexChoice, items: int, width: int) -> Any | None:
        """The index over ``items`` rows of ``width``; None where there is none to be read."""
        file = self._file(choice, items, width)
        if not file.exists():
            return None
        try:
            index = faiss.read_index(str(file))
        except RuntimeError as error:
            log.warning("%s cannot be read (%s): the index is built again", file, str(error).splitlines()[0])
            return None
        if (index.ntotal, index.d) != (items, width):
            log.warning("%s is not of %d items %d wide: the index is built again", file, items, width)
            return None
        return index

    def write(self, index: Any, choice: IndexChoice) -> None:
        """Keep an index; where that is not possible the next process builds it again."""
        file = self._file(choice, index.ntotal, index.d)
        temporary = file.with_name(f".{uuid.uuid4().hex}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            faiss.write_index(index, str(temporary))
            temporary.replace(file)
            self._clean()
        except (OSError, RuntimeError) as error:  # FAISS raises the latter where it cannot write
            log.info("the built index is not kept in %s: %s", self.folder, str(error).splitlines()[0])
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _clean(self) -> None:
        for file in self.folder.glob("*.faiss"):
            release_id = file.name.partition("-")[0]
            if release_id != self.release_id and not (self.releases / release_id).is_dir():
                file.unlink(missing_ok=True)
        for file in self.folder.glob(".*"):
            with suppress(FileNotFoundError):  # another process finished it meanwhile
                if file.stat().st_mtime < time.time() - UNFINISHED_S:
                    file.unlink()

    def _file(self, choice: IndexChoice, items: int, width: int) -> Path:
        told = json.dumps([VERSION, self.release_id, choice.build, items, width, faiss.__version__])
        return self.folder / f"{self.release_id}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.faiss"
