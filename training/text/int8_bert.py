"""BERT in int8 by ONNX Runtime: one query as fast as a core can.

The graph is written from the fp32 weights when an encoder is loaded, in standard operators: nothing is exported, a
release carries the same files whichever library reads them, and releases of earlier versions load as they are.

What a query costs, one text at a time on one core, and what it loses: 1,000 texts (the queries of ESCI and beginnings
of its titles, 3 to 24 tokens, median 9), interleaved, the best of eight rounds on two busy cores with AVX512-VNNI:

| forward pass | ms | cosine to fp32: least, median | seconds to load |
| --- | --- | --- | --- |
| ``bert``, fp32 | 5.2 or more | 1 | .0 |
| torch's int8 tensors, which torch 2.13 announces the end of | 1.21 | .977, .997 | .4 |
| torchao 0.18, eager; compiled by a C++ compiler | 6.7; 4.4 | .989, .997 | .1; 19 to 54 |
| ONNX Runtime, graph by ``torch.onnx``, fused and quantized by its own tools | .70 | .982, .994 | .1 |
| **the graph written here, smoothed** | **.57** | **.977, .997** | **.4** |
| the same with unsigned weights, as on machines without VNNI | .94 | .977, .997 | .4 |

Catalogues are read in fp32: the activations' range is that of the whole batch, and what a text's vector is must not
depend on which texts were read beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.telemetry import silence
from training.text.bert import Bert, BertConfig, Linear

SMOOTHING = 0.65
CALIBRATION_TEXTS, CALIBRATION_TOKENS = 64, 16
OPSET, IR = 23, 11
"""Of ONNX: the first with attention as an operator, and the format of a file with it."""
SLOW_FUSION = "SkipLayerNormFusion"
"""ONNX Runtime's sum and norm in one kernel: with it a query of 9 tokens takes .65 ms, without .47."""


class Int8Bert:
    """Token ids of texts of one length to mean-pooled unit rows. Read-only, so threads may share it.

    The activations' ranges come from texts of random tokens: calibration without anybody's data, the same everywhere.

    Args:
        state: tensors by the names that ``transformers`` gives a ``BertModel``'s.
        unsigned: int8 weights without a sign; None: where the machine needs it (see :func:`pairs_overflow`).

    Raises:
        TextEncoderError: a tensor is missing.
    """

    def __init__(self, state: Mapping[str, Tensor], config: BertConfig, *, unsigned: bool | None = None) -> None:
        bert = Bert(state, config, Watched.of)
        length = min(CALIBRATION_TOKENS, config.positions)
        random = torch.Generator().manual_seed(0)
        bert(torch.randint(0, len(bert.words), (CALIBRATION_TEXTS, length), generator=random))
        self.width = config.width
        # A copy: a view would keep all of the fp32 weights in memory.
        self._words: NDArray[np.float32] = bert.words.numpy().copy()
        self._positions: NDArray[np.float32] = bert.positions.numpy()
        self._session = _session(_written(bert, pairs_overflow() if unsigned is None else unsigned))

    def __call__(self, tokens: Tensor) -> Tensor:
        """``tokens`` int64 [n, length] -> float32 [n, width], rows of norm 1."""
        embedded = self._words[tokens.numpy()] + self._positions[: tokens.shape[1]]
        return torch.from_numpy(self._session.run(None, {"embedded": embedded})[0])


@lru_cache(maxsize=1)
def pairs_overflow() -> bool:
    """Whether this machine's kernels add products of int8 weights in pairs of 16 bits, where large ones overflow.

    x86 without VNNI does: cosines fell to .93 (median .97, emulated Haswell). Unsigned weights go another way.
    """
    graph, width = _Graph(), 64
    weights = graph.constant(np.full((width, width), 127, dtype=np.int8))
    graph.add("MatMulInteger", "bytes", weights, out="sums")
    probe = _session(graph.serialized(("bytes", np.uint8, ("n", width)), ("sums", np.int32, ("n", width))))
    (sums,) = probe.run(None, {"bytes": np.full((4, width), 255, dtype=np.uint8)})
    return bool((sums != 255 * 127 * width).any())


@dataclass(frozen=True)
class Watched(Linear):
    """A linear layer that keeps the largest absolute activation of each input channel, ``largest`` [in]."""

    largest: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor) -> Watched:
        return cls(weight, bias, torch.zeros(weight.shape[1]))

    def __call__(self, x: Tensor) -> Tensor:
        torch.maximum(self.largest, x.abs().amax(dim=0), out=self.largest)
        return super().__call__(x)


def _written(bert: Bert, unsigned: bool) -> bytes:
    """The forward pass of ``Bert`` behind the embedding: ``embedded`` [n, length, width] -> ``vectors`` [n, width]."""
    graph, config = _Graph(), bert.config

    def norm(x: str, pair: tuple[Tensor, Tensor]) -> str:
        scale, shift = (graph.constant(part.numpy()) for part in pair)
        return graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=config.epsilon)

    x = norm("embedded", bert.norm)
    for layer in bert.layers:
        mixed = _int8_linear(graph, x, layer.query_key_value, unsigned)
        parts = graph.split(mixed, 3)
        seen = graph.add("Attention", *parts, q_num_heads=config.heads, kv_num_heads=config.heads)
        attended = _int8_linear(graph, seen, layer.output, unsigned)
        x = norm(graph.add("Add", x, attended), layer.attention_norm)
        widened = graph.add("Gelu", _int8_linear(graph, x, layer.widen, unsigned))
        x = norm(graph.add("Add", x, _int8_linear(graph, widened, layer.narrow, unsigned)), layer.norm)
    pooled = graph.add("ReduceMean", x, graph.constant(np.array([1])), keepdims=0)
    graph.add("LpNormalization", pooled, out="vectors", axis=-1, p=2)
    return graph.serialized(
        ("embedded", np.float32, ("n", "length", config.width)), ("vectors", np.float32, ("n", config.width))
    )


def _int8_linear(graph: _Graph, x: str, linear: Linear, unsigned: bool) -> str:
    """A linear layer with int8 weights, one scale per output; activations become int8 by their range.

    A few of BERT's channels are ten times as large as the others, and one scale for all of them would round the others
    away. SmoothQuant (Xiao et al. 2023, arXiv 2211.10438, eq. 4) moves that range into the weights:
    ``s_j = max|x_j|^a / max|w_j|^(1 - a)``, ``y = (x / s) (w s)^T + b``.
    """
    assert isinstance(linear, Watched)
    smooth = _floor(linear.largest) ** SMOOTHING / _floor(linear.weight.abs().amax(dim=0)) ** (1 - SMOOTHING)
    weight = linear.weight * smooth
    scales = _floor(weight.abs().amax(dim=1)) / 127
    rounded = (weight / scales[:, None]).round().t().contiguous().numpy()
    zero = 128 if unsigned else 0
    kind = np.uint8 if unsigned else np.int8
    # ONNX Runtime makes one kernel of all that follows.
    shrunk = graph.add("Mul", x, graph.constant((1 / smooth).numpy()))
    values, scale, origin = graph.quantized(shrunk)
    zeros = graph.constant(np.full(len(scales), zero, dtype=kind))
    sums = graph.add("MatMulInteger", values, graph.constant((rounded + zero).astype(kind)), origin, zeros)
    scaled = graph.add("Mul", graph.add("Cast", sums, to=1), graph.add("Mul", scale, graph.constant(scales.numpy())))
    return graph.add("Add", scaled, graph.constant(linear.bias.numpy()))


def _floor(values: Tensor) -> Tensor:
    return values.clamp_min(1e-3)


class _Graph:
    """An ONNX graph that is being written; values are known by name."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._names = (f"v{n}" for n in count())

    def constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(value, next(self._names)))
        return str(self._constants[-1].name)

    def add(self, operator: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        return self._add(operator, inputs, [out or next(self._names)], attributes)[0]

    def split(self, value: str, parts: int) -> list[str]:
        """``value`` cut into ``parts`` equal ones along its last dimension."""
        outputs = [next(self._names) for _ in range(parts)]
        return self._add("Split", (value,), outputs, {"axis": -1, "num_outputs": parts})

    def quantized(self, value: str) -> list[str]:
        """``value`` as unsigned bytes by its range, their scale, and the byte that stands for 0."""
        return self._add("DynamicQuantizeLinear", (value,), [next(self._names) for _ in range(3)], {})

    def _add(self, operator: str, inputs: tuple[str, ...], outputs: list[str], attributes: dict[str, Any]) -> list[str]:
        from onnx import helper

        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def serialized(self, entry: tuple[str, Any, tuple[Any, ...]], result: tuple[str, Any, tuple[Any, ...]]) -> bytes:
        """The graph as a model; ``entry`` and ``result`` are name, type and shape."""
        from onnx import helper

        ends = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
            for name, kind, shape in (entry, result)
        ]
        graph = helper.make_graph(self._nodes, "bert", ends[:1], ends[1:], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        return bytes(model.SerializeToString())


def _session(model: bytes) -> Any:
    """A session on one thread: a query is too small to share."""
    silence()  # from 1.29 on, ONNX Runtime calls home unless told so before it is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOW_FUSION]
    )
