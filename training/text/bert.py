"""BERT's forward pass in plain torch: what a text costs is arithmetic, not a framework's checks.

Texts of one length are read together, so there is no padding and no mask; query, key and value are one product. A test
holds the vectors against ``transformers``. Catalogues are read so, in fp32; single queries in int8: ``int8_bert``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.text.bert_config import BertConfig
from training.text.errors import TextEncoderError


@dataclass(frozen=True)
class Linear:
    """A linear layer: ``weight`` [out, in], ``bias`` [out]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Bert:
    """Token ids of texts of one length to mean-pooled unit rows. Read-only, so threads may share it.

    Args:
        state: tensors by the names that ``transformers`` gives a ``BertModel``'s.

    Raises:
        TextEncoderError: a tensor is missing.
    """

    def __init__(self, state: Mapping[str, Tensor], config: BertConfig) -> None:
        self.config = config
        self.width = config.width
        try:
            self.words = state["embeddings.word_embeddings.weight"]
            """As it was saved: in fp32 a quarter of a million words take 384 MB."""
            kinds = state["embeddings.token_type_embeddings.weight"].float()
            self.positions = state["embeddings.position_embeddings.weight"].float() + kinds[0]
            self.norm = _pair(state, "embeddings.LayerNorm")
            self.layers = [Layer.of(state, f"encoder.layer.{n}") for n in range(config.layers)]
        except KeyError as missing:
            raise TextEncoderError(f"the checkpoint has no tensor {missing}: it is no BERT encoder") from missing

    @torch.inference_mode()
    def __call__(self, tokens: Tensor) -> Tensor:
        """``tokens`` int64 [n, length] -> float32 [n, width], rows of norm 1."""
        texts, length = tokens.shape
        shape = (self.width,)
        x = F.embedding(tokens, self.words).float() + self.positions[:length]
        x = F.layer_norm(x, shape, *self.norm, self.config.epsilon).view(-1, self.width)
        for layer in self.layers:
            mixed = layer.query_key_value(x).view(texts, length, 3, self.config.heads, -1).permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2]).transpose(1, 2)
            attended = layer.output(seen.reshape(-1, self.width))
            x = F.layer_norm(x + attended, shape, *layer.attention_norm, self.config.epsilon)
            widened = layer.narrow(F.gelu(layer.widen(x)))
            x = F.layer_norm(x + widened, shape, *layer.norm, self.config.epsilon)
        return F.normalize(x.view(texts, length, self.width).mean(dim=1), dim=1)


@dataclass(frozen=True)
class Layer:
    """A Transformer layer; a norm is (scale, shift)."""

    query_key_value: Linear
    output: Linear
    attention_norm: tuple[Tensor, Tensor]
    widen: Linear
    narrow: Linear
    norm: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, state: Mapping[str, Tensor], name: str) -> Layer:
        parts = [_pair(state, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        weights, biases = zip(*parts, strict=True)
        return cls(
            query_key_value=Linear(torch.cat(weights), torch.cat(biases)),
            output=Linear(*_pair(state, f"{name}.attention.output.dense")),
            attention_norm=_pair(state, f"{name}.attention.output.LayerNorm"),
            widen=Linear(*_pair(state, f"{name}.intermediate.dense")),
            narrow=Linear(*_pair(state, f"{name}.output.dense")),
            norm=_pair(state, f"{name}.output.LayerNorm"),
        )


def _pair(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return state[f"{name}.weight"].float(), state[f"{name}.bias"].float()
