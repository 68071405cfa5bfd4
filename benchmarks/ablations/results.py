"""What a run found: a JSON of how it went, and the values of each request beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = tuple[str, str, str]
"""Truth (which of the wanted items count), method and measure."""
REQUESTS = "requests"
JUDGED = "judged"
"""The truth that people gave."""


@dataclass(frozen=True)
class Values:
    """Measures of requests (or of judged queries)."""

    columns: dict[Column, NDArray[np.float32]]
    """[n] each; NaN where nothing was wanted."""
    unit: NDArray[np.int64]
    """What is drawn as a whole by the bootstrap: the user of each request, or the request where it has none, [n]."""
    day: NDArray[np.int64]
    """Day after the cut, [n]."""
    slices: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Which requests are of a slice, [n] each; judged queries have none."""


@dataclass(frozen=True)
class Result:
    """A run that ended."""

    content: dict[str, Any]
    path: Path

    @classmethod
    def find(cls, folder: Path, key: str) -> Result | None:
        """The result of a key, None where there is none."""
        path = folder / f"{key}.json"
        return cls(json.loads(path.read_text(encoding="utf-8")), path) if path.exists() else None

    @property
    def objection(self) -> str | None:
        """Why the row cannot be measured on this shop; None where it was."""
        return self.content.get("objection")

    def values(self, part: str) -> Values | None:
        """``requests`` or ``judged``; None where it was not measured."""
        if part not in self.content["columns"]:
            return None
        with np.load(self.path.with_suffix(".npz")) as arrays:
            columns = {tuple(c): v for c, v in zip(self.content["columns"][part], arrays[part], strict=True)}
            names = self.content["slices"] if part == REQUESTS else []
            slices = dict(zip(names, arrays["slices"], strict=True)) if names else {}
            return Values(columns, arrays[f"{part}.unit"], arrays[f"{part}.day"], slices)


def write_result(folder: Path, key: str, content: dict[str, Any], parts: dict[str, Values]) -> None:
    """Write a result, the JSON last: where it is, the result is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        arrays |= {name: np.stack(list(part.columns.values())), f"{name}.unit": part.unit, f"{name}.day": part.day}
        if name == REQUESTS and part.slices:
            arrays["slices"] = np.stack(list(part.slices.values()))
    columns = {name: [list(column) for column in part.columns] for name, part in parts.items()}
    slices = list(parts[REQUESTS].slices) if REQUESTS in parts else []
    path = folder / f"{key}.json"
    path.unlink(missing_ok=True)
    if arrays:
        np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, **arrays)
    building = path.with_suffix(".building")
    building.write_text(json.dumps(content | {"columns": columns, "slices": slices}, indent=1), encoding="utf-8")
    building.replace(path)
