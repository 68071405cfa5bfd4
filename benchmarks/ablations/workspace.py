"""Folders of the ablations of a shop: a training set of their own cut, and what their runs share.

Under ``<home>/<shop>/ablations``: ``shared`` is a home with this training set (sessions, features and catalogue are
links to the shop's), ``arrays`` has the arrays by fingerprint, ``jobs`` a home of links per run in progress,
``results`` a JSON and the values per request of each run that ended.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import FileLock

from features.training_set import build_training_set
from infra.settings import Settings, TrainingSettings
from training.data.array_builder import META, build_arrays, fingerprint_of
from training.text.pretraining import pretrain

PRETRAINED = ("t5", "mlm")
PRETRAINING_SEED = 7


class Workspace:
    """The folders of a shop's ablations."""

    def __init__(self, settings: Settings, validation_days: int) -> None:
        """``settings``: of the shop whose sessions, features and catalogue are in place."""
        self.shop = settings.paths
        self.name = settings.shop_name
        self.root = self.shop.root / "ablations"
        self.results = self.root / "results"
        self._home = settings.home.expanduser().resolve()
        cut = TrainingSettings(validation_days=validation_days)
        self.shared = self._in(settings, self.root / "shared", cut)

    def prepare(self) -> None:
        """Cut the shop's training set anew, unless it was cut from the same files in the same way.

        Raises:
            FileNotFoundError: the shop has no sessions, features or catalogue.
            TrainingSetError: they make no training set.
        """
        self._link_inputs(self.shared)
        with FileLock(self.root / "training_set.lock"):
            build_training_set(self.shared)

    def data(self, training: TrainingSettings) -> str:
        """What the arrays of a run are made of."""
        return fingerprint_of(self.shared.model_copy(update={"training": training}))

    def job(self, key: str, training: TrainingSettings) -> Settings:
        """Settings of a run whose home has everything but the candidate; what other runs share is made if need be."""
        shared = self.shared.model_copy(update={"training": training})
        settings = self._in(shared, self.root / "jobs" / key, training)
        self._link_inputs(settings)
        link(settings.paths.training_set, shared.paths.training_set)
        link(settings.paths.training / "arrays", self._arrays(shared))
        if training.text_encoder in PRETRAINED:
            seeded = training.model_copy(update={"seed": PRETRAINING_SEED})
            with FileLock(self.root / "pretraining.lock"):
                pretrain(shared.model_copy(update={"training": seeded}))
            link(settings.paths.training / "text_encoder", shared.paths.training / "text_encoder")
        return settings

    def remove_job(self, key: str) -> None:
        """Remove the folder of a run that ended."""
        shutil.rmtree(self.root / "jobs" / key, ignore_errors=True)

    def _in(self, settings: Settings, home: Path, training: TrainingSettings) -> Settings:
        return settings.model_copy(update={"home": home, "shop": self.name, "landing": None, "training": training})

    def _link_inputs(self, settings: Settings) -> None:
        paths, shop = settings.paths, self.shop
        for here, there in (
            (paths.sessions, shop.sessions),
            (paths.features, shop.features),
            (paths.catalog.parent, shop.catalog.parent),
        ):
            if not there.exists():
                raise FileNotFoundError(f"no {there.name} under {shop.root}: run `shelfwise run` for this shop first")
            link(here, there)
        (self._home / "cache").mkdir(exist_ok=True)
        link(settings.home / "cache", self._home / "cache")

    def _arrays(self, shared: Settings) -> Path:
        fingerprint = fingerprint_of(shared)
        target = self.root / "arrays" / fingerprint[:16]
        with FileLock(self.root / "arrays.lock"):
            if not (target / META).exists():
                build_arrays(shared, target, fingerprint)
        return target


def link(here: Path, there: Path) -> None:
    """Make ``here`` a link to ``there``."""
    here.parent.mkdir(parents=True, exist_ok=True)
    if here.is_symlink():
        if here.readlink() == there:
            return
        here.unlink()
    here.symlink_to(there, target_is_directory=True)
