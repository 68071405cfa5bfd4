"""Whether what is on disk is current: by the content of what it was made from, never by when a file was written.

A step keeps the key of its inputs beside what it makes; it runs again where the key is another. A key holds the files
by their content, the settings that matter, and the version of the step's code, raised when the same input gives another
output. A restored backup, a copied shop or a touched file is therefore as current as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any


def step_key(version: int, settings: Any, files: Iterable[Path] = (), root: Path | None = None) -> str:
    """Key of a step: SHA-256 over its code version, its settings and the content of its input files.

    Args:
        version: of the step's code.
        settings: what of the settings decides the output, JSON-serializable.
        files: the input files; one that is missing is another input than an empty one.
        root: names of files are taken relative to it, so that a shop's folder may move.
    """
    named = [(str(file.relative_to(root) if root else file), file_hash(file)) for file in files]
    return hashlib.sha256(json.dumps([version, settings, named], sort_keys=True).encode()).hexdigest()


def content_key(files: Iterable[Path], root: Path | None = None) -> str:
    """Key of what files hold: the same content under the same names has the same key, whoever wrote it."""
    return step_key(0, None, files, root)


def file_hash(path: Path) -> str | None:
    """SHA-256 of a file's content; None where there is no file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return _hash(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65_536)
def _hash(path: Path, *_version: int) -> str:
    """Read once per process and version of the file: the version only spares reading what this process has read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
