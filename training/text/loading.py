"""Which text encoder a recipe asks for, and the one that a release carries."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pyarrow.parquet as pq

from infra.settings import Settings
from training.text.encoder import TextEncoder
from training.text.errors import TextEncoderError
from training.text.folder import MINILM_SHA256, WEIGHTS, check_files, minilm_folder, read_encoder_json
from training.text.item_text import item_texts
from training.text.multilingual import PACKAGE, is_installed, multilingual_folder

RESULT = "result.json"

LEAST_ENGLISH = 0.5
"""Share of the words of catalogue and queries from which MiniLM reads them."""
AS_IT_COMES = ("auto", "minilm", "e5")
"""Encoders that nothing is trained for."""

logger = logging.getLogger("shelfwise.text_encoder")


def encoder_folder(settings: Settings, kind: str) -> Path:
    """Where an encoder that was trained on the shop's own text lies."""
    return settings.paths.training / "text_encoder" / kind


def load_text_encoder(settings: Settings) -> TextEncoder | None:
    """The encoder that ``settings.training.text_encoder`` names; None where it is off or the shop has no text.

    Raises:
        TextEncoderError: MiniLM's weights are missing or changed, or an encoder was not trained yet.
    """
    kind = settings.training.text_encoder
    if kind == "none":
        return None
    if kind in AS_IT_COMES:
        if not _has_item_text(settings):
            logger.warning("no item of the catalogue has a text: the text encoder is off")
            return None
        return sentence_encoder(settings)
    folder = encoder_folder(settings, kind)
    if not (folder / RESULT).exists():
        raise TextEncoderError(f"no {kind} encoder in {folder}: materialize the asset text_encoder, or call pretrain()")
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if result["reason"]:
        logger.warning("the text encoder is off: %s", result["reason"])
        return None
    return load_saved(folder)


def sentence_encoder(settings: Settings) -> TextEncoder:
    """The pretrained encoder that is used as it comes: the one that is set, else MiniLM.

    Raises:
        TextEncoderError: its weights are missing or changed.
    """
    kind, tokens = settings.training.text_encoder, settings.training.text_tokens
    return multilingual(tokens) if kind == "e5" or (kind == "auto" and _asks_for_many(settings)) else minilm(tokens)


def load_saved(folder: Path) -> TextEncoder:
    """The encoder that ``TextEncoder.save`` wrote.

    Raises:
        TextEncoderError: a file is missing, or is not what it was when it was saved.
    """
    saved = read_encoder_json(folder)
    if saved["kind"] == "minilm":
        if saved["files"].get(WEIGHTS) != MINILM_SHA256:
            raise TextEncoderError(f"{folder} was made with other weights of MiniLM than those installed: train anew")
        source = minilm_folder()
        check_files(source, saved["files"])
        return TextEncoder("minilm", source, saved["tokens"], carried=False, saved=folder)
    if saved["kind"] == "e5":
        source = multilingual_folder()
        check_files(source, saved["files"])
        return TextEncoder("e5", source, saved["tokens"], carried=False, saved=folder)
    check_files(folder, saved["files"])
    return TextEncoder(saved["kind"], folder, saved["tokens"], saved=folder)


def minilm(tokens: int) -> TextEncoder:
    """all-MiniLM-L6-v2, reading ``tokens`` tokens of a text."""
    return TextEncoder("minilm", minilm_folder(), tokens, carried=False)


def multilingual(tokens: int) -> TextEncoder:
    """multilingual-e5-small, reading ``tokens`` tokens of a text."""
    return TextEncoder("e5", multilingual_folder(), tokens, carried=False)


def _asks_for_many(settings: Settings) -> bool:
    """Whether MiniLM does not read the words of catalogue and queries, and an encoder that does is there."""
    from training.text.english import english_share  # by DuckDB, which a server does without

    share = english_share(settings)
    if share is None or share >= LEAST_ENGLISH:
        return False
    if not is_installed():
        told = "MiniLM reads English, and %.0f%% of the shop's words are: `pip install %s` brings what reads the others"
        logger.warning(told, 100 * share, PACKAGE)
        return False
    return True


def _has_item_text(settings: Settings) -> bool:
    """Whether an item has text; without a catalogue nothing is known against it."""
    if not settings.paths.catalog.exists():
        return True
    texts = item_texts(pq.read_table(settings.paths.catalog))
    return bool(texts.null_count < len(texts))
