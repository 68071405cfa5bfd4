"""All results of a shop, as samples by line of a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.ablations.results import JUDGED, Result, Values
from benchmarks.ablations.rows import ROWS, Line, Table
from benchmarks.ablations.schedule import read_index
from benchmarks.ablations.statistics import Resampling, Sample
from training.evaluation.measure import ALL_ITEMS

ITEM_SLICES = ("new items", "cold items")
"""Slices of what was wanted, not of the requests."""


class Study:
    """The results that the index of a shop names, row by row and seed by seed."""

    def __init__(self, folder: Path) -> None:
        """``folder``: a shop's ``ablations``.

        Raises:
            FileNotFoundError: nothing was run there.
        """
        index = read_index(folder)
        if index is None:
            raise FileNotFoundError(f"no results under {folder}: run `python -m benchmarks.ablations` first")
        self.index: Mapping[str, Any] = index
        found = {
            row: {int(seed): Result.find(folder / "results", key) for seed, key in keys.items()}
            for row, keys in self.index["rows"].items()
            if row in ROWS
        }
        self.results: dict[str, dict[int, Result]] = {
            row: {seed: result for seed, result in by_seed.items() if result is not None}
            for row, by_seed in found.items()
        }
        self._samples: dict[tuple[str, str, str, str], Sample | None] = {}

    @property
    def shop(self) -> str:
        return str(self.index["shop"])

    @cached_property
    def measured(self) -> list[Result]:
        """All results with figures."""
        return [r for by_seed in self.results.values() for r in by_seed.values() if r.objection is None]

    @property
    def is_judged(self) -> bool:
        return JUDGED in self._values

    def objection(self, row: str) -> str | None:
        """Why a row could not be measured here."""
        return next((r.objection for r in self.results.get(row, {}).values() if r.objection), None)

    def shows(self, table: Table) -> bool:
        """Whether a table was asked for; where single rows were, whether it has more than its reference."""
        asked = self.index["tables"]
        return table.key in asked if asked else sum(row in self.results for row in table.rows) > 1

    def sample(self, line: Line, measure: str, part: str = ALL_ITEMS) -> Sample | None:
        """A figure of a line; ``part``: a slice, or ``judged``. None where it was not measured."""
        key = (line.row, line.method, measure, part)
        if key not in self._samples:
            self._samples[key] = self._sample(*key)
        return self._samples[key]

    def _sample(self, row: str, method: str, measure: str, part: str) -> Sample | None:
        if part == JUDGED:
            resampling = self._resampling.get(JUDGED)
            by_seed = self._values.get(JUDGED, {}).get(row, {})
            return resampling.sample(by_seed, (JUDGED, method, measure)) if resampling else None
        resampling, by_seed = self._resampling.get("requests"), self._values.get("requests", {}).get(row, {})
        if resampling is None:
            return None
        truth = part if part in ITEM_SLICES else ALL_ITEMS
        chosen = None if part in (ALL_ITEMS, *ITEM_SLICES) else part
        return resampling.sample(by_seed, (truth, method, measure), chosen)

    @cached_property
    def _values(self) -> dict[str, dict[str, dict[int, Values]]]:
        """Per part, row and seed."""
        values: dict[str, dict[str, dict[int, Values]]] = {}
        for row, by_seed in self.results.items():
            for seed, result in by_seed.items():
                for part in ("requests", JUDGED):
                    found = None if result.objection else result.values(part)
                    if found is not None:
                        values.setdefault(part, {}).setdefault(row, {})[seed] = found
        return values

    @cached_property
    def _resampling(self) -> dict[str, Resampling]:
        return {
            part: Resampling(1 + max(int(v.unit.max(initial=0)) for of in rows.values() for v in of.values()))
            for part, rows in self._values.items()
        }
