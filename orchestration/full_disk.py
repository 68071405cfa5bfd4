"""A disk that is full: how its errors are told from others, and what somebody is to do."""

from __future__ import annotations

import errno
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from infra.settings import Settings
from orchestration.disk_room import LEAST, in_units, needed_bytes, there
from orchestration.night.ended_run import NIGHTLY

FULL = (errno.ENOSPC, errno.EDQUOT)
SAID = (
    "no space left on device",
    "disk quota exceeded",
    "database or disk is full",  # SQLite's SQLITE_FULL
    "disk i/o error",  # SQLite's SQLITE_IOERR: what it says as well where its journal finds no space
    "failed to offload data block",  # DuckDB: what it keeps on disk has outgrown what was free
)
"""What libraries say that raise errors of their own, in lower case."""
FAILING = "disk i/o error"
"""Said of a disk that is broken, too."""
PATH = re.compile(r"""['"](/[^'"\n]+)['"]""")


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, is a full disk's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if (isinstance(error, OSError) and error.errno in FULL) or says_full(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def says_full(text: str) -> bool:
    """Whether a sentence of an error tells of a full disk, as far as the libraries that we write by say so."""
    return any(said in text.lower() for said in SAID)


def what_to_do(settings: Settings, told: str = "") -> str:
    """One sentence for whoever has to free some space: where, how much, and how to go on.

    Args:
        told: what the error said, which may name the file.
    """
    folder = _folder(settings, told)
    free = shutil.disk_usage(folder).free
    again = "then start the same again: a run goes on with what is not done yet"
    if FAILING in told.lower() and free > LEAST:
        return (
            f"the disk under {folder} could not be read or written ({in_units(free)} are free there now): if it was not"
            f" full, look into the system's log for a disk that fails or a network that was away; {again}"
        )
    ours = shlex.quote(str(settings.paths.root))
    return (
        f"no space was left under {folder} ({in_units(free)} are free there now): free"
        f" {in_units(needed_bytes(settings, NIGHTLY[0]) or LEAST)} there or make the volume larger (`du -sh {ours}/*`"
        f" says what of ours fills it; never remove `releases` or `sessions`), {again}"
    )


def _folder(settings: Settings, told: str) -> Path:
    """Where it is full: by the file that the error names, else the fuller of the shop's folder and the system's."""
    if named := PATH.search(told):
        return there(Path(named[1]))
    return min((there(settings.paths.root), Path(tempfile.gettempdir())), key=lambda one: shutil.disk_usage(one).free)
