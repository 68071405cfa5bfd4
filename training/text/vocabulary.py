"""Tokenizers: one trained on the shop's own words, or that of a checkpoint.

Byte-pair encoding: of the trainers of ``tokenizers`` 0.23 it is the only one that gives the same vocabulary for the
same texts (WordPiece and Unigram depend on the order of a hash map, which is another in each process). Over bytes it
needs no alphabet of its own, and no script is unknown to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from training.data.ragged import Ragged, offsets_of
from training.text.libraries import transformers

PAD, START, END, MASK = SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
CHARS_READ = 2_000
"""Characters read of a text."""


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and the ids of the tokens that training has to know."""

    tokenizer: Tokenizer
    pad: int
    end: int
    mask: int | None

    def rows(self, texts: pa.Array) -> Ragged:
        """Token ids of each text, cut to the tokenizer's limit."""
        encoded = self.tokenizer.encode_batch_fast(pc.utf8_slice_codeunits(texts, 0, CHARS_READ).to_pylist())
        lengths = np.array([len(row) for row in encoded], dtype=np.int64)
        ids = np.fromiter((i for row in encoded for i in row.ids), dtype=np.int32, count=int(lengths.sum()))
        return Ragged(offsets_of(lengths), ids)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, and the tokenizer_config.json by which ``transformers`` knows its special tokens."""
        named = {"pad_token": self.pad, "eos_token": self.end, "mask_token": self.mask}
        tokens = {name: self.tokenizer.id_to_token(token) for name, token in named.items() if token is not None}
        wrapped = transformers().PreTrainedTokenizerFast(tokenizer_object=self.tokenizer, **tokens)
        wrapped.save_pretrained(folder)

    def is_special(self) -> NDArray[np.bool_]:
        """Which ids are no word, [size]."""
        special = np.zeros(self.tokenizer.get_vocab_size(), dtype=np.bool_)
        special[[n for n, token in self.tokenizer.get_added_tokens_decoder().items() if token.special]] = True
        return special


def train_vocabulary(texts: pa.Array, size: int, tokens: int, *, starts: bool) -> Vocabulary:
    """Byte-pair encoding of lower-cased words.

    Args:
        tokens: tokens kept of a text.
        starts: whether a text starts with a token of its own, as BERT's do; every text ends with one.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pc.utf8_slice_codeunits(texts, 0, CHARS_READ).to_pylist(), trainer)
    ids: dict[str, int] = {token: int(tokenizer.get_vocab()[token]) for token in SPECIAL}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}" if starts else f"$A {END}", special_tokens=[(t, ids[t]) for t in (START, END)]
    )
    tokenizer.enable_truncation(tokens)
    return Vocabulary(tokenizer, ids[PAD], ids[END], ids[MASK])


def checkpoint_vocabulary(checkpoint: str, tokens: int) -> Vocabulary:
    """The tokenizer of a checkpoint, a folder or a hub name."""
    local = Path(checkpoint).is_dir()
    loaded: Any = transformers().AutoTokenizer.from_pretrained(checkpoint, local_files_only=local)
    tokenizer = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    end = loaded.eos_token_id if loaded.eos_token_id is not None else loaded.sep_token_id
    return Vocabulary(tokenizer, loaded.pad_token_id, end, loaded.mask_token_id)
