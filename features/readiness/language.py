"""Whether the text encoder reads the language of catalogue and queries."""

from __future__ import annotations

from collections.abc import Iterator

from features.readiness.report import Gap
from infra.languages import foreign
from infra.settings import Settings


def language_gaps(settings: Settings) -> Iterator[Gap]:
    """That the text encoder reads another language than the shop's, where it is one of English."""
    found = foreign(settings) if settings.training.text_encoder == "minilm" else ""
    if found:
        yield Gap(
            42,
            f"Catalogue and queries are {found}, and the text encoder (MiniLM) reads English",
            "What it makes of them tells little: a catalogue alone is found by BM25's words, and of queries that nobody"
            " asked before less is found.",
            "Set SHELFWISE_TRAINING__TEXT_ENCODER=auto, which takes one of about 100 languages here, or mlm, trained on"
            " this shop's text; none leaves it out, and a catalogue alone to BM25.",
        )
