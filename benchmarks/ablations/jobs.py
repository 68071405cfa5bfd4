"""What a run is named by, and whether it is done."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.ablations.results import Result
from benchmarks.ablations.rows import ROWS
from benchmarks.ablations.workspace import Workspace
from infra.settings import TrainingSettings

FORMAT = 1
REPOSITORY = Path(__file__).parents[2]
MEASURED_CODE = "training"


@dataclass(frozen=True)
class Job:
    """A row with a seed. Rows of the same settings have the same ``key``, and are run once."""

    row: str
    seed: int
    training: TrainingSettings
    key: str

    def is_done(self, results: Path, any_code: bool = False) -> bool:
        """Whether its result is in place, made by the code as it is (or, with ``any_code``, by whatever code)."""
        result = Result.find(results, self.key)
        return result is not None and (any_code or result.content["code"] == code_fingerprint())


def jobs_of(rows: Sequence[str], seeds: Sequence[int], changes: Mapping[str, Any], workspace: Workspace) -> list[Job]:
    """Each row with each seed, seed by seed, so that a run that is stopped has whole tables of fewer seeds."""
    jobs = []
    for seed in seeds:
        for name in rows:
            training = ROWS[name].settings(seed, changes)
            kind = (FORMAT, ROWS[name].is_trained, ROWS[name].is_boosted)
            content = json.dumps([kind, training.model_dump(mode="json"), workspace.data(training)])
            jobs.append(Job(name, seed, training, hashlib.sha256(content.encode()).hexdigest()[:16]))
    return jobs


@cache
def code_fingerprint() -> str:
    """Of the code of ``training``, but for its comments and docstrings."""
    digest = hashlib.sha256()
    for file in sorted((REPOSITORY / MEASURED_CODE).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
        digest.update(f"{file.relative_to(REPOSITORY)}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:12]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
