"""What the encoders are pre-trained to do: fill in masked words (MMSE), or write an item's query (UEPPR)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from infra.settings import PretrainingSettings
from training.data.ragged import Ragged
from training.text.corpus import Corpus
from training.text.errors import TextEncoderError
from training.text.libraries import transformers
from training.text.vocabulary import Vocabulary, checkpoint_vocabulary, train_vocabulary

MASKED = 0.15
"""Share of the tokens to fill in; 80% of these are masked, 10% are another token, 10% stay (BERT, sec. 3.1)."""
DROPOUT = 0.0
"""By the defaults a text is read once or twice: there is nothing to over-fit, and random masks are slow on a CPU."""
IGNORED = -100
"""The label that ``transformers`` leaves out of the loss."""


class Objective(Protocol):
    """A model with its examples."""

    model: nn.Module
    vocabulary: Vocabulary
    lengths: NDArray[np.int64]
    """Tokens of each example, [examples]: those of like length go into a batch."""

    def batch(self, examples: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Tensor]:
        """Token ids, mask and labels of these examples."""

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the labels, a scalar."""

    def save_encoder(self, folder: Path) -> None:
        """Write config.json and model.safetensors of the encoder alone."""


class MaskedWords:
    """Masked language modelling of titles, descriptions and queries by a BERT: MMSE's text encoder.

    Raises:
        TextEncoderError: the checkpoint is no BERT.
    """

    def __init__(self, corpus: Corpus, settings: PretrainingSettings, tokens: int) -> None:
        library = transformers()
        if settings.checkpoint:
            self.model = _from_checkpoint(library.BertForMaskedLM, settings.checkpoint, "bert")
            self.vocabulary = checkpoint_vocabulary(settings.checkpoint, tokens)
        else:
            self.vocabulary = train_vocabulary(corpus.texts, settings.vocabulary, tokens, starts=True)
            self.model = library.BertForMaskedLM(
                library.BertConfig(
                    vocab_size=self.vocabulary.tokenizer.get_vocab_size(),
                    hidden_size=settings.width,
                    num_hidden_layers=settings.layers,
                    num_attention_heads=settings.heads,
                    intermediate_size=4 * settings.width,
                    max_position_embeddings=tokens,
                    pad_token_id=self.vocabulary.pad,
                    hidden_dropout_prob=DROPOUT,
                    attention_probs_dropout_prob=DROPOUT,
                )
            )
        mask = self.vocabulary.mask
        if mask is None:
            raise TextEncoderError(f"the tokenizer of {settings.checkpoint} has no mask token: give a BERT checkpoint")
        self._mask = mask
        self._rows = self.vocabulary.rows(corpus.texts)
        self._is_word = ~self.vocabulary.is_special()
        self._words = np.flatnonzero(self._is_word)
        self.lengths = self._rows.lengths

    def batch(self, examples: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Tensor]:
        """Token ids with gaps, and what was in the gaps."""
        ids, mask = _padded(self._rows, examples, self.vocabulary.pad)
        asked = (rng.random(ids.shape) < MASKED) & self._is_word[ids] & mask
        if not asked.any():
            row, place = np.argwhere(mask & self._is_word[ids])[0] if (mask & self._is_word[ids]).any() else (0, 0)
            asked[row, place] = True  # a batch of short texts may draw no gap, and the mean over none is NaN
        labels = np.where(asked, ids, IGNORED)
        lot = rng.random(ids.shape)
        ids = np.where(asked & (lot < 0.8), self._mask, ids)
        ids = np.where(asked & (lot >= 0.9), rng.choice(self._words, ids.shape), ids)
        return _tensors(input_ids=ids, attention_mask=mask, labels=labels)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Only the gaps are scored against the vocabulary: one token in seven, and most of what a step costs."""
        labels = batch.pop("labels")
        asked = labels != IGNORED
        states = self.model.bert(**batch).last_hidden_state[asked]  # type: ignore[operator]
        return F.cross_entropy(self.model.cls(states), labels[asked])  # type: ignore[operator]

    def save_encoder(self, folder: Path) -> None:
        """Write the BERT without its head."""
        self.model.bert.save_pretrained(folder)  # type: ignore[operator, union-attr]


class QueryWriting:
    """A T5 that writes the query an item is ordered by, after docT5query (Nogueira and Lin 2019): UEPPR's.

    Raises:
        TextEncoderError: the checkpoint is no T5.
    """

    def __init__(self, corpus: Corpus, settings: PretrainingSettings, tokens: int) -> None:
        library = transformers()
        if settings.checkpoint:
            self.model = _from_checkpoint(library.T5ForConditionalGeneration, settings.checkpoint, "t5")
            self.vocabulary = checkpoint_vocabulary(settings.checkpoint, tokens)
        else:
            self.vocabulary = train_vocabulary(corpus.texts, settings.vocabulary, tokens, starts=False)
            self.model = library.T5ForConditionalGeneration(
                library.T5Config(
                    vocab_size=self.vocabulary.tokenizer.get_vocab_size(),
                    d_model=settings.width,
                    d_kv=settings.width // settings.heads,
                    d_ff=4 * settings.width,
                    num_layers=settings.layers,
                    num_heads=settings.heads,
                    pad_token_id=self.vocabulary.pad,
                    eos_token_id=self.vocabulary.end,
                    decoder_start_token_id=self.vocabulary.pad,
                    dropout_rate=DROPOUT,
                )
            )
        self._sources, self._targets = self.vocabulary.rows(corpus.sources), self.vocabulary.rows(corpus.targets)
        self.lengths = self._sources.lengths + self._targets.lengths

    def batch(self, examples: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Tensor]:
        """Token ids of the items' texts, and those of their queries to write."""
        ids, mask = _padded(self._sources, examples, self.vocabulary.pad)
        targets, written = _padded(self._targets, examples, self.vocabulary.pad)
        return _tensors(input_ids=ids, attention_mask=mask, labels=np.where(written, targets, IGNORED))

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Each token of the query, given the item and the tokens before it."""
        loss: Tensor = self.model(**batch).loss
        return loss

    def save_encoder(self, folder: Path) -> None:
        """Write the encoder; the decoder has done its work."""
        encoder = transformers().T5EncoderModel(self.model.config)
        wanted = set(encoder.state_dict())
        encoder.load_state_dict({name: v for name, v in self.model.state_dict().items() if name in wanted})
        encoder.save_pretrained(folder)


def _from_checkpoint(model: Any, checkpoint: str, model_type: str) -> nn.Module:
    try:
        local = Path(checkpoint).is_dir()
        config = transformers().AutoConfig.from_pretrained(checkpoint, local_files_only=local)
        if config.model_type != model_type:
            raise TextEncoderError(f"{checkpoint} is a {config.model_type}: give a {model_type} checkpoint, or none")
        return model.from_pretrained(checkpoint, local_files_only=local)  # type: ignore[no-any-return]
    except OSError as error:
        raise TextEncoderError(
            f"the checkpoint {checkpoint} cannot be loaded ({error}): give a folder with config.json,"
            " model.safetensors and tokenizer.json, or none to train from scratch"
        ) from error


def _padded(rows: Ragged, chosen: NDArray[np.int64], pad: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows as a matrix [n, longest], and where it holds a token."""
    taken = rows.take(chosen)
    mask = np.arange(max(1, taken.lengths.max(initial=0)))[None, :] < taken.lengths[:, None]
    ids = np.full(mask.shape, pad, dtype=np.int64)
    ids[mask] = taken.ids
    return ids, mask


def _tensors(**arrays: NDArray[Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()}
