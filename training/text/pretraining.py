"""Pre-training a text encoder on the shop's own text: once per text and settings, seeded, in minutes on two cores."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infra.contract.content import step_key
from infra.progress import Progress
from infra.settings import PretrainingSettings, Settings
from training.text.corpus import Corpus, read_corpus
from training.text.encoder import TextEncoder
from training.text.errors import TextEncoderError
from training.text.folder import CONFIG, TOKENIZER, WEIGHTS, file_hashes
from training.text.loading import RESULT, encoder_folder
from training.text.objectives import MaskedWords, Objective, QueryWriting

VERSION = 1
"""Raised when the same text and settings become another encoder."""
WARM_UP = 0.1
"""Share of the steps over which the learning rate rises; then it falls to nothing."""
CURVE_POINTS = 30
POOL_BATCHES = 50
"""Batches whose examples are ordered by length together, so that a batch has little padding."""

logger = logging.getLogger("shelfwise.text_encoder")


@dataclass(frozen=True)
class PretrainingResult:
    """What a pre-training did. ``curve`` has the mean loss of each stretch of steps; ``reason`` says why there is none.

    ``reused``: nothing had changed, and the encoder is the one that was there.
    """

    kind: str
    steps: int
    examples: int
    seconds: float
    curve: tuple[float, ...]
    path: Path
    key: str
    """Of what it was trained on, and how."""
    reason: str | None = None
    reused: bool = False


def pretrain(settings: Settings, progress: Progress | None = None) -> PretrainingResult:
    """Train the encoder that ``settings.training.text_encoder`` names, unless text and settings are as they were.

    Where the shop has no text, the result says so and the encoder is off.

    Raises:
        TextEncoderError: the recipe's encoder is not trained here, its settings do not fit together, or there is no
            training set.
    """
    kind = settings.training.text_encoder
    if kind not in ("t5", "mlm"):
        raise TextEncoderError(f"the text encoder {kind} is not trained here: set text_encoder to t5 or mlm")
    _check(settings.training.pretraining)
    corpus = read_corpus(settings)
    target, key = encoder_folder(settings, kind), _key(settings, corpus)
    held = _read_result(target)
    if held is not None and held.key == key:
        return held
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=target.parent))
    try:
        result = _train(settings, kind, corpus, folder, progress)
        result |= {"kind": kind, "key": key}
        (folder / RESULT).write_text(json.dumps(result, indent=2), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return PretrainingResult(path=target, **{**result, "curve": tuple(result["curve"])})


def _check(pretraining: PretrainingSettings) -> None:
    if pretraining.width % pretraining.heads and not pretraining.checkpoint:
        raise TextEncoderError(
            f"pretraining.width {pretraining.width} is no multiple of pretraining.heads {pretraining.heads}: change one"
        )


def _key(settings: Settings, corpus: Corpus) -> str:
    """What the encoder follows from: the texts themselves, since most training sets differ in what it does not read."""
    t = settings.training
    files: dict[str, str] = {}
    if t.pretraining.checkpoint and Path(t.pretraining.checkpoint).is_dir():
        files = file_hashes(Path(t.pretraining.checkpoint), (CONFIG, WEIGHTS, TOKENIZER))
    pretraining = t.pretraining.model_dump(mode="json")
    return step_key(VERSION, [t.text_encoder, t.seed, t.text_tokens, pretraining, files, corpus.fingerprint])


def _read_result(folder: Path) -> PretrainingResult | None:
    if not (folder / RESULT).exists():
        return None
    try:
        content = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        return PretrainingResult(path=folder, reused=True, **{**content, "curve": tuple(content["curve"])})
    except (ValueError, TypeError, KeyError) as error:
        logger.warning("%s cannot be read (%s): training again", folder / RESULT, error)
        return None


def _train(settings: Settings, kind: str, corpus: Corpus, folder: Path, progress: Progress | None) -> dict[str, Any]:
    training, pretraining = settings.training, settings.training.pretraining
    started = time.perf_counter()
    examples = len(corpus.texts if kind == "mlm" else corpus.sources)
    result: dict[str, Any] = {"steps": 0, "examples": examples, "seconds": 0.0, "curve": [], "reason": None}
    if not examples:
        of = "no item or query has a text" if kind == "mlm" else "no item with a text was clicked by a query with one"
        logger.warning("the text encoder is off: %s in the train window", of)
        return result | {"reason": f"{of} in the train window"}
    with _seeded(training.seed, training.threads):
        make = MaskedWords if kind == "mlm" else QueryWriting
        objective: Objective = make(corpus, pretraining, training.text_tokens)
        losses = _optimise(objective, pretraining, training.seed, _device(training.device), progress)
    objective.save_encoder(folder)
    objective.vocabulary.save(folder)
    TextEncoder(kind, folder, training.text_tokens).describe(folder)
    bounds = np.unique(np.linspace(0, len(losses), CURVE_POINTS + 1).astype(int))
    curve = [float(np.mean(losses[a:b])) for a, b in pairwise(bounds.tolist())]
    return result | {"steps": len(losses), "seconds": time.perf_counter() - started, "curve": curve}


def _optimise(
    objective: Objective, settings: PretrainingSettings, seed: int, device: torch.device, progress: Progress | None
) -> list[float]:
    """AdamW with warm-up and linear decay; the loss of each step."""
    model, rng = objective.model.to(device).train(), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    rise = max(1, round(WARM_UP * settings.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / rise, (settings.steps - step) / max(1, settings.steps - rise))
    )
    losses: list[float] = []
    for examples in _batches(objective.lengths, settings.batch_size, settings.steps, rng):
        batch = {name: value.to(device) for name, value in objective.batch(examples, rng).items()}
        loss = objective.loss(batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if progress is not None and len(losses) % max(1, settings.steps // 10) == 0:
            progress(f"step {len(losses)}, loss {losses[-1]:.3f}", len(losses) / settings.steps)
    objective.model.to("cpu").eval()
    return losses


def _batches(
    lengths: NDArray[np.int64], size: int, steps: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Examples of ``steps`` batches: every example once per round, those of like length together."""
    made = 0
    while made < steps:
        order = rng.permutation(len(lengths))
        for start in range(0, len(order), size * POOL_BATCHES):
            pool = order[start : start + size * POOL_BATCHES]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches = np.split(pool, range(size, len(pool), size))
            for number in rng.permutation(len(batches)).tolist():
                if made == steps:
                    return
                yield batches[number]
                made += 1


def _device(name: str) -> torch.device:
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


@contextmanager
def _seeded(seed: int, threads: int) -> Iterator[None]:
    """torch's own random numbers (initial weights, dropout) from ``seed``; what they were before comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(before)
