"""The files that a person names on the command line, as local paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from features.adapters.base import AdapterError, ImportRequest
from features.file_names import is_hidden


def local_files(request: ImportRequest) -> list[Path]:
    """The files of ``request.files`` in the order given, those of a folder or glob by name, each once.

    Remote ones are copied to ``request.work``. Hidden files, ``_SUCCESS`` and files of no bytes are none.

    Raises:
        AdapterError: a path that names no file, or a folder without any, or one that cannot be read.
    """
    found: dict[Path, None] = {}
    for place, text in enumerate(request.files):
        here = _found(request, text, request.work / "inputs" / f"{place:03d}")
        if not here:
            raise AdapterError(f"{text} names no file with something in it: check the path")
        found |= dict.fromkeys(here)
    return list(found)


def _found(request: ImportRequest, text: str, copies: Path) -> Sequence[Path]:
    try:
        system, path = url_to_fs(text if "://" in text else str(Path(text).expanduser().absolute()))
        paths = sorted(system.glob(path)) if set(path) & set("*?[") and not system.exists(path) else [path]
        listed: list[tuple[str, str]] = []
        for one in paths:
            if system.isdir(one):
                root = one.rstrip("/") + "/"
                inside = [(p, p.removeprefix(root)) for p in sorted(system.find(one))]
                listed += [(p, name) for p, name in inside if not is_hidden(name)]
            elif system.exists(one):
                listed.append((one, one.rsplit("/", 1)[-1]))
        listed = [(p, name) for p, name in listed if system.size(p) != 0]
        if isinstance(system, LocalFileSystem):
            return [Path(p) for p, _ in listed]
        for number, (p, name) in enumerate(listed):
            request.progress(f"copying {name}", number / len(listed))
            (copies / name).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(p, str(copies / name))
        return [copies / name for _, name in listed]
    except (ImportError, OSError, ValueError) as error:
        raise AdapterError(
            f"{text} cannot be read: {error}. Check the path and its credentials, and that the fsspec package of its"
            " protocol is installed (s3fs for s3://, gcsfs for gs://)"
        ) from error
