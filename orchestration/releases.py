"""The releases on disk: what the gates said of each, which may go live, and moving live; without Dagster."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Collection
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from infra.contract.content import content_key
from infra.contract.partitions import write_json
from infra.settings import GateSettings, Settings
from orchestration.shop import candidate_dir
from serving.errors import IncompleteCollection
from serving.index import kept_release_ids, live_release_id, promote, push, roll_back
from serving.index.aliases import one_writer
from serving.index.collection import read_back
from serving.index_loss import served_loss
from serving.probe import probe
from training.evaluation import EvaluationReport
from training.evaluation.report import MAIN_MEASURE, as_text
from training.release.gates import RIVALS, Gate, Verdict, ann_gate, recall_gate, slice_gate
from training.release.manifest import INDEX, MANIFEST, ReleaseError, clean_releases, verify_release
from training.release.places import clean_store, known_releases, publish, release_folder
from training.release.release import load_release
from training.release.store import StoreUnavailable
from training.run.candidate import CONFIG, EVALUATION, QUALITY_PRIOR, RANKER, WEIGHTS
from training.text import TextEncoderError

log = logging.getLogger(__name__)

ELSEWHERE = ("not on this machine, but at releases.url",)
JUDGED_ELSEWHERE = ("the gates' verdict is where it was trained, which is where to promote it",)
UNFINISHED = re.compile(r"\.[0-9a-f]{32}")
"""Folders that a killed run was writing a release into."""

State = Literal["live", "previous", "ready", "blocked", "unproven"]
"""``unproven``: not all gates ran, since something stopped the run."""


class PromotionRefused(ValueError):  # noqa: N818 - named for the state that it reports
    """A release that must not go live; the message says why."""


@dataclass(frozen=True)
class ReleaseStatus:
    """A release as ``shelfwise releases`` shows it."""

    id: str
    trained_at: datetime | None
    data_until: datetime | None
    recall: str
    """recall@100 with its interval, of what the release serves with."""
    state: State
    reasons: list[str]
    """What is damaged; why it may not go live, or would not have without force."""


def candidate_key(settings: Settings) -> str:
    """Key of what the candidate in place is, and of what was found out about it: its evaluation and its index."""
    folder = candidate_dir(settings)
    return content_key([folder / name for name in (WEIGHTS, CONFIG, QUALITY_PRIOR, RANKER, INDEX, EVALUATION)], folder)


def verdict_file(settings: Settings, release_id: str) -> Path:
    """Where the gates' verdict on a release lies."""
    return settings.paths.reports / "gates" / f"{release_id}.json"


def read_verdict(settings: Settings, release_id: str) -> Verdict:
    """What the gates said of a release; one without gates where none ran."""
    file = verdict_file(settings, release_id)
    return Verdict.from_json(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else Verdict(release_id)


def forget_verdict(settings: Settings, release_id: str) -> None:
    """The gates run again: none of an earlier run counts."""
    verdict_file(settings, release_id).unlink(missing_ok=True)


def record(settings: Settings, release_id: str, *gates: Gate) -> None:
    """Note gates that ran; those of other names stay."""
    file = verdict_file(settings, release_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Checks of one release may run in several processes at once.
    with FileLock(file.with_suffix(".lock")):
        write_json(file, read_verdict(settings, release_id).with_gates(*gates).to_json())


def recall_gates(gates: GateSettings, report: EvaluationReport) -> list[Gate]:
    """Recall against live and the baselines."""
    return [recall_gate(report, rival, gates) for rival in RIVALS]


def slices(gates: GateSettings, report: EvaluationReport) -> Gate:
    """Recall by slice against live."""
    return slice_gate(report, gates)


def ann_recall(settings: Settings, release_id: str, queries: Callable[[], NDArray[np.float32]]) -> Gate:
    """Recall that the index of a pushed release loses: in memory as its ``index.json`` says, where the same vectors
    were searched; in Milvus as measured now on ``queries``, since there the tuner's figures are another library's.

    Raises:
        IndexUnavailable: Milvus is away. ReleaseError: the release is damaged.
    """
    if settings.index.searched_by == "milvus":
        lost = served_loss(settings, release_id, queries())
    else:
        file = settings.paths.releases / release_id / INDEX
        chosen = json.loads(file.read_text(encoding="utf-8"))["chosen"] if file.exists() else {}
        lost = {int(k): loss for k, loss in chosen.get("recall_loss", {}).items()}
    return ann_gate(lost, settings.index.max_recall_loss)


def servability(settings: Settings, release_id: str, query: str) -> Gate:
    """Whether a fresh process can load a release and find an item with its collection.

    Raises:
        IndexUnavailable: Milvus is away, which is not the release's fault.
    """
    try:
        item = probe(settings, release_id, query)
    except (ReleaseError, IncompleteCollection, TextEncoderError, BrokenProcessPool, TimeoutError) as error:
        told = str(error) or type(error).__name__
        return Gate("servability", False, f"a fresh process cannot serve it: {told}", {"query": query})
    return Gate("servability", True, "A fresh process serves it.", {"query": query, "best item": item})


def completeness(settings: Settings, release_id: str, collection: str) -> Gate:
    """Whether a collection holds exactly the items of its release, as read back from it.

    Raises:
        IndexUnavailable: Milvus is away or has no such collection. ReleaseError: the release is damaged.
    """
    stored = read_back(settings, load_release(release_folder(settings, release_id)), collection)
    reason = f"{collection} {stored.summary}{', as the release has' if stored.is_whole else ''}."
    return Gate("index", stored.is_whole, reason, {"items": stored.rows, "sha256 of the ids": stored.sha256})


def release_statuses(settings: Settings) -> list[ReleaseStatus]:
    """All releases on disk and behind ``releases.url``, the newest first, then what should serve and is none. No hash
    is checked.

    Raises:
        IndexUnavailable: Milvus does not answer, so what is live is unknown.
    """
    live, kept = live_release_id(settings), kept_release_ids(settings)
    trained_at: dict[str, datetime | None] = {release.id: release.trained_at for release in known_releases(settings)}
    somewhere = set(trained_at)
    trained_at |= {release_id: None for release_id in kept if release_id not in trained_at}
    found = []
    for release_id, trained in trained_at.items():
        verdict = read_verdict(settings, release_id)
        folder = settings.paths.releases / release_id
        is_elsewhere = release_id in somewhere and not folder.is_dir()
        until, recall, damage = (None, "unknown", list[str]()) if is_elsewhere else _described(folder)
        state: State = (
            "live" if release_id == live
            else "previous" if release_id in kept
            else "blocked" if damage or verdict.blocked
            else "ready" if verdict.proven
            else "unproven"
        )  # fmt: skip
        judged_here = verdict_file(settings, release_id).exists() or settings.releases.url is None
        reasons = [
            *damage,
            *(ELSEWHERE if is_elsewhere else ()),
            *(verdict.reasons if judged_here else JUDGED_ELSEWHERE),
        ]
        found.append(ReleaseStatus(release_id, trained, until, recall, state, reasons))
    return found


def _described(folder: Path) -> tuple[datetime | None, str, list[str]]:
    """Until when the data of a release go, its recall, and what is missing or cannot be read of it."""
    until: datetime | None = None
    recall, damage = "unknown", list[str]()
    try:
        files = _json(folder / MANIFEST)["files"]
        if lost := [name for name in files if not (folder / name).is_file()]:
            damage = [f"damaged: {', '.join(lost)} is missing"]
        window = _json(folder / "config.json")["data_window"]
        if window["end"] == window["train_start"]:
            return None, "catalogue alone", damage
        until = datetime.fromisoformat(window["end"])
        recall = _recall(folder)
    except FileNotFoundError as error:
        damage = damage or [f"damaged: {Path(error.filename).name} is missing"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        damage = damage or [f"damaged: it cannot be read: {error}"]
    return until, recall, damage


def _json(file: Path) -> Any:
    """Raises FileNotFoundError where there is none, ValueError, with the file's name, where it is no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error


def find_release(settings: Settings, prefix: str) -> str:
    """The id of the one release on disk, or behind ``releases.url``, whose id is ``prefix`` or begins with it.

    Raises:
        ReleaseError: there is none, or there are several.
    """
    ids = [release.id for release in known_releases(settings) if prefix and release.id.startswith(prefix)]
    if not ids:
        raise ReleaseError(f"there is no release {prefix!r} here: `shelfwise releases` lists those there are")
    if len(ids) > 1 and prefix not in ids:
        raise ReleaseError(f"{prefix!r} may be any of {', '.join(sorted(ids))}: give more of the id")
    return prefix if prefix in ids else ids[0]


def make_live(settings: Settings, release_id: str, *, force: bool = False) -> str | None:
    """Push a release, unless it is there already, and make it live; return what was live before.

    Args:
        release_id: the id, or its beginning where no other has it.
        force: although the gates blocked it, or did not all run. What it needs to serve is never waived: its hashes
            and its collection are checked.

    Raises:
        PromotionRefused: the gates are against it. ReleaseError: it is missing or damaged. StoreUnavailable: it cannot
            be brought to ``releases.url``, or fetched; live stays.
        IndexUnavailable: Milvus does not answer. IncompleteCollection: the collection could not be filled.
    """
    release_id = find_release(settings, release_id)
    verdict = read_verdict(settings, release_id)
    if not (verdict.proven or force):
        raise PromotionRefused(f"release {release_id} may not go live: {' '.join(verdict.reasons)}")
    before = live_release_id(settings)
    push(settings, load_release(release_folder(settings, release_id)))
    promote(settings, release_id)
    return before


def go_back(settings: Settings) -> str:
    """Make the release live that was live before; return its id.

    Raises:
        NoLiveRelease: nothing is live. PromotionRefused: nothing was live before.
        ReleaseError: the one before is missing or damaged, so live stays. IndexUnavailable: Milvus does not answer.
    """
    live = live_release_id(settings)
    for previous in kept_release_ids(settings):
        if previous != live:
            _check_everywhere(settings, previous)
    try:
        return roll_back(settings)
    except ValueError as error:
        raise PromotionRefused(str(error)) from error


def clean(settings: Settings, keep: Collection[str] = ()) -> list[str]:
    """Remove releases beyond the kept ones with their verdicts, never live, its predecessor or one of ``keep``; those
    behind ``releases.url`` as well.

    For the one run that works on a shop: what is half written is removed, too.
    """
    for folder in settings.paths.releases.glob(".*"):
        if UNFINISHED.fullmatch(folder.name):
            shutil.rmtree(folder)
    with one_writer(settings):  # a promotion in between could make live what is removed
        kept = {*kept_release_ids(settings), *keep}
        removed = clean_releases(settings, keep=kept)
        clean_store(settings, keep=kept)
    for release_id in removed:
        forget_verdict(settings, release_id)
        verdict_file(settings, release_id).with_suffix(".lock").unlink(missing_ok=True)
    return removed


def _check_everywhere(settings: Settings, previous: str) -> None:
    try:
        verify_release(release_folder(settings, previous))
        publish(settings, previous)
    except StoreUnavailable as error:
        # Servers have it from when it was live; what is away must not keep live at a release that is bad.
        log.warning("rolling back to release %s, which servers without it cannot fetch: %s", previous, error)


def _recall(folder: Path) -> str:
    report = EvaluationReport.from_json(_json(folder / EVALUATION))
    rows = {row["method"]: row for row in as_text(report.rows)}
    return rows[report.serving][MAIN_MEASURE] if report.serving in rows else "not measured"
