"""The frozen text encoder: texts to unit rows, and one query as fast as a core can."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from infra.progress import Progress
from training.data.ragged import Ragged, offsets_of
from training.text.bert_config import BertConfig
from training.text.folder import (
    CONFIG,
    RANGES,
    TOKENIZER,
    WEIGHTS,
    copy_files,
    file_hashes,
    read_arrays,
    write_encoder_json,
)

if TYPE_CHECKING:
    import torch

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]
FORMAT = 1
BATCH_TOKENS = 4096
"""Tokens of a batch: more does not pay on a CPU, and 4,096 keep a batch's activations in a few MB."""
CHARS_PER_TOKEN = 64
"""Characters read of a text per token of the limit: a description of 100,000 characters costs what a page does."""
QUERIES_KEPT = 10_000
"""Query vectors remembered: 15 MB at 384 dimensions, and most searches of a day are repeats."""
CHUNK_TEXTS = 16_384

# Its threads warn, and then stop, in every process that forks; one process encodes at a time here.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class Network(Protocol):
    """Token ids [n, length] of texts of one length to unit rows [n, width]."""

    width: int

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor: ...


class TextEncoder:
    """Mean-pooled unit rows of a frozen Transformer. Read-only after it is made, so threads may share it.

    Args:
        kind: ``minilm``, ``e5``, ``t5`` or ``mlm``.
        folder: config.json, model.safetensors and tokenizer.json.
        tokens: tokens read of a text, the special ones included.
        carried: whether ``save`` copies the weights (else it notes their hash alone).
        saved: where ``save`` wrote it: with what a server would else find out about it at each start.

    Raises:
        TextEncoderError: files are missing or are of a model that cannot be read.
    """

    def __init__(
        self, kind: str, folder: Path, tokens: int, *, carried: bool = True, saved: Path | None = None
    ) -> None:
        self.kind = kind
        self._saved = saved
        self._folder = folder
        self._carried = carried
        self._hashes = file_hashes(folder, (CONFIG, WEIGHTS, TOKENIZER))
        self._config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        positions = self._config.get("max_position_embeddings", tokens)
        self.tokens = min(tokens, positions)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.tokens)
        self._special = self._tokenizer.num_special_tokens_to_add(False)
        self._centre = np.array(self._config.get("centre", 0.0), dtype=np.float32)
        self._remembered = lru_cache(maxsize=QUERIES_KEPT)(self._encode_query)

    @property
    def width(self) -> int:
        """Width of a vector."""
        return int(self._config.get("hidden_size") or self._config["d_model"])

    @property
    def fingerprint(self) -> str:
        """Names all that a vector depends on besides its text: kind, files, tokens read."""
        content = [FORMAT, self.kind, sorted(self._hashes.items()), self.tokens]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    def encode(self, texts: Texts, progress: Progress | None = None) -> NDArray[np.float32]:
        """Unit rows float32 [n, width]; zeros for null texts and those without a token.

        Each distinct text is read once, in batches of equal length: no padding is computed.
        """
        distinct = strings(texts).dictionary_encode()
        vectors = np.zeros((len(distinct.dictionary) + 1, self.width), dtype=np.float32)  # the last row: no text
        for start in range(0, len(distinct.dictionary), CHUNK_TEXTS):
            part = distinct.dictionary.slice(start, CHUNK_TEXTS)
            share = (start / len(distinct.dictionary), (start + len(part)) / len(distinct.dictionary))
            vectors[start : start + len(part)] = self._encode_distinct(part, progress, share)
        rows: NDArray[np.int32] = pc.fill_null(distinct.indices, len(vectors) - 1).to_numpy(zero_copy_only=False)
        return vectors[rows]

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """Unit vector [width] of one query, read-only, by int8 weights but for T5; zeros where it has no token."""
        return self._remembered(text)

    def save(self, folder: Path) -> None:
        """Write what a release carries: ``encoder.json``, the ranges of its activations and, but for MiniLM, the files;
        ``load_saved`` reads it."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._carried:
            copy_files(self._folder, folder, tuple(self._hashes))
        if self._reads_by_bert:
            from training.text.int8_bert import activation_ranges

            found = activation_ranges(read_arrays(self._folder / WEIGHTS), BertConfig.of(self._config))
            save_file({f"{layer:03}": largest for layer, largest in enumerate(found)}, folder / RANGES)
        self.describe(folder)

    def describe(self, folder: Path) -> None:
        """Write ``encoder.json`` alone: kind, tokens read, and the hashes of the files."""
        write_encoder_json(folder, {"kind": self.kind, "tokens": self.tokens, "files": self._hashes})

    def _tokenize(self, texts: pa.Array) -> Ragged:
        """Token ids, a row per text; none where the text gives special tokens alone."""
        cut = pc.utf8_slice_codeunits(texts, 0, self.tokens * CHARS_PER_TOKEN)
        encoded = self._tokenizer.encode_batch_fast(cut.to_pylist())
        rows = [row.ids if len(row) > self._special else [] for row in encoded]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=int(lengths.sum()))
        return Ragged(offsets_of(lengths), ids)

    def _encode_distinct(
        self, texts: pa.Array, progress: Progress | None, share: tuple[float, float]
    ) -> NDArray[np.float32]:
        import torch  # here: a server reads queries alone

        rows = self._tokenize(texts)
        out = np.zeros((len(rows), self.width), dtype=np.float32)
        done, report_at = 0, 0
        for length in np.unique(rows.lengths[rows.lengths > 0]).tolist():
            chosen = np.flatnonzero(rows.lengths == length)
            for batch in np.array_split(chosen, -(-len(chosen) * length // BATCH_TOKENS)):
                tokens = torch.from_numpy(rows.take(batch).ids.reshape(-1, length).astype(np.int64))
                out[batch] = self._centred(self._network(tokens).numpy())
                done += len(batch) * length
                if progress is not None and done >= report_at:
                    part = done / max(1, len(rows.ids))
                    progress("texts encoded", share[0] + part * (share[1] - share[0]))
                    report_at = done + len(rows.ids) // 10
        return out

    def _encode_query(self, text: str) -> NDArray[np.float32]:
        cut = text[: self.tokens * CHARS_PER_TOKEN].encode("utf-8", "replace").decode("utf-8")
        ids = self._tokenizer.encode(cut).ids
        if len(ids) <= self._special:
            vector = np.zeros(self.width, dtype=np.float32)
        else:
            vector = self._centred(self._query_network(np.array([ids], dtype=np.int64)))[0]
        vector.setflags(write=False)
        return vector

    def _centred(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit rows less the mean that a config may name, of length 1 again."""
        if not self._centre.any():
            return vectors
        off = vectors - self._centre
        return np.asarray(off / np.linalg.norm(off, axis=1, keepdims=True))

    @cached_property
    def _network(self) -> Network:
        if not self._reads_by_bert:
            from training.text.t5 import T5Encoder

            return T5Encoder(self._folder)
        from safetensors.torch import load_file

        from training.text.bert import Bert

        return Bert(load_file(self._folder / WEIGHTS), BertConfig.of(self._config))

    @cached_property
    def _query_network(self) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        """Token ids [n, length] of texts of one length to unit rows [n, width]."""
        if not self._reads_by_bert:
            import torch

            return lambda tokens: self._network(torch.from_numpy(tokens)).numpy()
        from training.text.int8_bert import Int8Bert

        ranges = self._saved / RANGES if self._saved else None
        found = read_arrays(ranges) if ranges and ranges.exists() else {}
        held = [found[layer] for layer in sorted(found)] or None
        return Int8Bert(read_arrays(self._folder / WEIGHTS), BertConfig.of(self._config), held)

    @property
    def _reads_by_bert(self) -> bool:
        return bool(self._config.get("model_type") != "t5")


def strings(texts: Texts) -> pa.Array:
    """Texts as one Arrow string array."""
    array = texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(texts, pa.string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array if array.type == pa.string() else array.cast(pa.string())
