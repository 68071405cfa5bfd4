"""Words that people use whatever a shop sells."""

from __future__ import annotations

import json
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from training.text.folder import TOKENIZER, minilm_folder


@lru_cache(maxsize=1)
def general_words() -> pa.Array:
    """The words of at least four letters that MiniLM's tokenizer does not take apart: English, and names.

    Raises:
        TextEncoderError: the package with MiniLM is missing.
    """
    held = json.loads((minilm_folder() / TOKENIZER).read_text(encoding="utf-8"))
    pieces = pa.array(held["model"]["vocab"], pa.string())
    return pieces.filter(pc.match_substring_regex(pieces, r"^\p{L}{4,}$"))
