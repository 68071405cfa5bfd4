"""BERT's forward pass in plain torch: what a text costs is arithmetic, not a framework's checks.

Texts of one length are read together, so there is no padding and no mask; query, key and value are one product; and the
weights may be int8. A test holds the vectors against ``transformers``.

What one query costs on one core, and what it loses, was measured with MiniLM over the 150 queries of ESCI (3 to 19
tokens, median 7) and its 6,764 titles, on a busy AVX512-VNNI machine:

| forward pass | ms at 10 tokens | cosine to fp32: least, median | recall@100 |
| --- | --- | --- | --- |
| ``transformers``, fp32 | 10 | 1 | |
| this, fp32 | 8.1 | 1 | .854 |
| this, bf16 (needs AVX512-BF16) | 5.2 | 1.0000, 1.0000 | |
| int8 weights, bf16 activations (``_weight_int8pack_mm``) | 4.4 | .9992, .9996 | |
| int8 weights and activations, one range for all channels | 2.2 | .987, .994 | |
| **the same, smoothed (this, int8)** | **2.0** | **.993, .998** | **.853** |
| the same on a machine without VNNI (7 bits) | 2.2 | .984, .994 | |

So queries are read in int8: ``TextEncoder.encode_query``, tokenizer included, p50 2.5 ms and p99 4.7 ms. Catalogues
are read in fp32: the activations' range is that of the whole batch, and what a text's vector is must not depend on
which texts were read beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.text.errors import TextEncoderError

Linear = Callable[[Tensor], Tensor]
Make = Callable[[Tensor, Tensor], Linear]
SMOOTHING = 0.65
CALIBRATION_TEXTS, CALIBRATION_TOKENS = 64, 16
ENGINES = ("x86", "fbgemm", "qnnpack")
"""torch's int8 kernels, the fastest first; which of them there are depends on the machine."""


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder, as in its ``config.json``."""

    width: int
    layers: int
    heads: int
    positions: int
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> BertConfig:
        """Read a ``config.json``.

        Raises:
            TextEncoderError: it is no BERT, or one with another activation or another kind of positions.
        """
        expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
        other = {name: config[name] for name, value in expected.items() if config.get(name, value) != value}
        if other or config.get("is_decoder"):
            raise TextEncoderError(
                f"a checkpoint with {other or 'is_decoder'} cannot be read: give a BERT encoder ({expected})"
            )
        return cls(
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            positions=config["max_position_embeddings"],
            epsilon=config["layer_norm_eps"],
        )


class Bert:
    """Token ids of texts of one length to mean-pooled unit rows. Read-only, so threads may share it.

    Args:
        state: tensors by the names that ``transformers`` gives a ``BertModel``'s.
        make: builds a linear layer out of weight [out, in] and bias [out].

    Raises:
        TextEncoderError: a tensor is missing.
    """

    def __init__(self, state: Mapping[str, Tensor], config: BertConfig, make: Make | None = None) -> None:
        self.width = config.width
        self._heads = config.heads
        self._epsilon = config.epsilon
        make = make or fp32_linear
        try:
            self._words = state["embeddings.word_embeddings.weight"].float()
            kinds = state["embeddings.token_type_embeddings.weight"].float()
            self._positions = state["embeddings.position_embeddings.weight"].float() + kinds[0]
            self._norm = _pair(state, "embeddings.LayerNorm")
            self._layers = [_Layer.of(state, f"encoder.layer.{n}", make) for n in range(config.layers)]
        except KeyError as missing:
            raise TextEncoderError(f"the checkpoint has no tensor {missing}: it is no BERT encoder") from missing

    @torch.inference_mode()
    def __call__(self, tokens: Tensor) -> Tensor:
        """``tokens`` int64 [n, length] -> float32 [n, width], rows of norm 1."""
        texts, length = tokens.shape
        shape = (self.width,)
        x = F.embedding(tokens, self._words) + self._positions[:length]
        x = F.layer_norm(x, shape, *self._norm, self._epsilon).view(-1, self.width)
        for layer in self._layers:
            mixed = layer.query_key_value(x).view(texts, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2]).transpose(1, 2)
            attended = layer.output(seen.reshape(-1, self.width))
            x = F.layer_norm(x + attended, shape, *layer.attention_norm, self._epsilon)
            widened = layer.narrow(F.gelu(layer.widen(x)))
            x = F.layer_norm(x + widened, shape, *layer.norm, self._epsilon)
        return F.normalize(x.view(texts, length, self.width).mean(dim=1), dim=1)


@dataclass(frozen=True)
class _Layer:
    query_key_value: Linear
    output: Linear
    attention_norm: tuple[Tensor, Tensor]
    widen: Linear
    narrow: Linear
    norm: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, state: Mapping[str, Tensor], name: str, make: Make) -> _Layer:
        parts = [_pair(state, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        weights, biases = zip(*parts, strict=True)
        return cls(
            query_key_value=make(torch.cat(weights), torch.cat(biases)),
            output=make(*_pair(state, f"{name}.attention.output.dense")),
            attention_norm=_pair(state, f"{name}.attention.output.LayerNorm"),
            widen=make(*_pair(state, f"{name}.intermediate.dense")),
            narrow=make(*_pair(state, f"{name}.output.dense")),
            norm=_pair(state, f"{name}.output.LayerNorm"),
        )


def _pair(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return state[f"{name}.weight"].float(), state[f"{name}.bias"].float()


def fp32_linear(weight: Tensor, bias: Tensor) -> Linear:
    """A linear layer as it is."""
    return lambda x: F.linear(x, weight, bias)


def int8_engine() -> str | None:
    """The int8 kernels of this machine; None where torch has none."""
    supported = torch.backends.quantized.supported_engines
    return next((engine for engine in ENGINES if engine in supported), None)


def int8_bert(state: Mapping[str, Tensor], config: BertConfig) -> Bert:
    """The encoder with int8 weights; in fp32 where this machine has no kernels for them.

    The activations' ranges come from texts of random tokens: calibration without anybody's data, the same everywhere.
    """
    if int8_engine() is None:
        return Bert(state, config)
    largest: list[Tensor] = []

    def observed(weight: Tensor, bias: Tensor) -> Linear:
        number = len(largest)
        largest.append(torch.zeros(weight.shape[1]))

        def forward(x: Tensor) -> Tensor:
            largest[number] = torch.maximum(largest[number], x.abs().amax(dim=0))
            return F.linear(x, weight, bias)

        return forward

    words = len(state["embeddings.word_embeddings.weight"])
    length = min(CALIBRATION_TOKENS, config.positions)
    random = torch.randint(0, words, (CALIBRATION_TEXTS, length), generator=torch.Generator().manual_seed(0))
    Bert(state, config, observed)(random)
    ranges = iter([seen.clone() for seen in largest])
    return Bert(state, config, lambda weight, bias: int8_linear(weight, bias, next(ranges)))


def int8_linear(weight: Tensor, bias: Tensor, largest: Tensor) -> Linear:
    """A linear layer [out, in] with int8 weights, one scale per output; activations become int8 by their range.

    A few of BERT's channels are ten times as large as the others, and one scale for all of them would round the others
    away. SmoothQuant (Xiao et al. 2023, arXiv 2211.10438, eq. 4) moves that range into the weights:
    ``s_j = max|x_j|^a / max|w_j|^(1 - a)``, ``y = (x / s) (w s)^T + b``.

    Args:
        largest: largest absolute activation of each input channel, [in].
    """
    torch.backends.quantized.engine = int8_engine()  # type: ignore[assignment]
    smooth = _floor(largest) ** SMOOTHING / _floor(weight.abs().amax(dim=0)) ** (1 - SMOOTHING)
    shrink, weight = 1 / smooth, weight * smooth
    scales = _floor(weight.abs().amax(dim=1)) / 127
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        # torch 2.13 announces the end of its int8 tensors; what is to take their place needs another package.
        warnings.simplefilter("ignore", UserWarning)
        packed = torch.ops.quantized.linear_prepack(
            torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8), bias
        )
    dynamic = torch.ops.quantized.linear_dynamic
    # Without VNNI, x86 kernels add pairs of products in 16 bits: then 7 bits of activation are what cannot overflow.
    seven_bits = int8_engine() in ("x86", "fbgemm") and not torch.cpu._is_vnni_supported()
    return lambda x: dynamic(x * shrink, packed, seven_bits)


def _floor(values: Tensor) -> Tensor:
    return values.clamp_min(1e-3)
