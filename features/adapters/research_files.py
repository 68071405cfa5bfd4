"""The files of a research set, found by the names that its authors give them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from features.adapters.base import AdapterError, ImportRequest
from features.adapters.files import local_files


def named_files(
    request: ImportRequest, wanted: Mapping[str, str], optional: Mapping[str, str]
) -> tuple[dict[str, Path], list[str]]:
    """Role -> file, of ``wanted`` all; and notes on the files given that have no role.

    Args:
        wanted: Role -> regular expression of the file's name without what packs it.
        optional: The same for files that may be missing.

    Raises:
        AdapterError: a wanted one is not there, or one is there twice.
    """
    found: dict[str, Path] = {}
    files = local_files(request)
    for role, pattern in {**wanted, **optional}.items():
        matching = [file for file in files if re.fullmatch(rf"({pattern})(\.gz|\.zst|\.bz2)?", file.name)]
        if len(matching) > 1:
            raise AdapterError(f"{role} is there twice: {', '.join(map(str, matching))}; name the files of one release")
        if matching:
            found[role] = matching[0]
        elif role in wanted:
            names = ", ".join(file.name for file in files[:10]) or "none"
            raise AdapterError(f"the file of {role} ({pattern}) is not among those given: {names}")
    others = sorted(file.name for file in files if file not in found.values())
    return found, [f"Not read, as nothing here comes of them: {', '.join(others)}."] if others else []


def whole(value: str, name: str) -> int:
    """An option that is a whole number.

    Raises:
        AdapterError: it is none.
    """
    if not re.fullmatch(r"\d{1,9}", value):
        raise AdapterError(f"option {name}={value} is no whole number")
    return int(value)


def day(value: str, name: str) -> str:
    """An option that is a day.

    Raises:
        AdapterError: it is none.
    """
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise AdapterError(f"option {name}={value} is no day: write it as 2024-05-31")
    return value
