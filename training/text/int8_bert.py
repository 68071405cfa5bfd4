"""BERT in int8 by ONNX Runtime: one query as fast as a core can.

The graph is written from the fp32 weights when an encoder is loaded, in standard operators: nothing is exported, a
release carries the same files whichever library reads them, and releases of earlier versions load as they are. Nothing
here needs torch, so a server starts without it.

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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infra.telemetry import silence
from training.text.bert_config import BertConfig
from training.text.errors import TextEncoderError

Array: TypeAlias = NDArray[Any]
F32: TypeAlias = NDArray[np.float32]
Value: TypeAlias = tuple[str, Any, tuple[int | str, ...]]
"""Of a graph's ends: name, type and shape."""

SMOOTHING = 0.65
CALIBRATION_TEXTS, CALIBRATION_TOKENS = 64, 16
OPSET, IR = 23, 11
"""Of ONNX: the first with attention as an operator, and the format of a file with it."""
SLOW_FUSION = "SkipLayerNormFusion"
"""ONNX Runtime's sum and norm in one kernel: with it a query of 9 tokens takes .65 ms, without .47."""


class Int8Bert:
    """Token ids of texts of one length to mean-pooled unit rows. Read-only, so threads may share it.

    Args:
        state: arrays by the names that ``transformers`` gives a ``BertModel``'s.
        ranges: as :func:`activation_ranges` found them; None: they are found now, which takes half a second.
        unsigned: int8 weights without a sign; None: where the machine needs it (see :func:`pairs_overflow`).

    Raises:
        TextEncoderError: a tensor is missing, or the ranges are of another model.
    """

    def __init__(
        self,
        state: Mapping[str, Array],
        config: BertConfig,
        ranges: Sequence[F32] | None = None,
        *,
        unsigned: bool | None = None,
    ) -> None:
        bert = BertWeights.of(state, config)
        self.width = config.width
        self._embedding = bert.embedding
        ranges = _ranges(bert) if ranges is None else ranges
        if [len(largest) for largest in ranges] != [linear.weight.shape[1] for linear in bert.linears]:
            raise TextEncoderError("the ranges of its activations are of another model: write the release again")
        self._session = _session(_int8(bert, ranges, pairs_overflow() if unsigned is None else unsigned))

    def __call__(self, tokens: NDArray[np.int64]) -> F32:
        """``tokens`` [n, length] -> [n, width], rows of norm 1."""
        vectors: F32 = self._session.run(None, {"embedded": self._embedding(tokens)})[0]
        return vectors


def activation_ranges(state: Mapping[str, Array], config: BertConfig) -> list[F32]:
    """The largest absolute activation of each input channel, [in], of each linear layer in turn, in fp32, over texts of
    random tokens: calibration without anybody's data, the same everywhere. Raises TextEncoderError."""
    return _ranges(BertWeights.of(state, config))


@dataclass(frozen=True)
class Embedding:
    """What stands before the first layer."""

    words: Array
    """As they were saved."""
    positions: F32

    def __call__(self, tokens: NDArray[np.int64]) -> F32:
        """``tokens`` [n, length] -> [n, length, width]."""
        return self.words[tokens].astype(np.float32) + self.positions[: tokens.shape[1]]


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


class Linear(NamedTuple):
    """A linear layer: ``weight`` [out, in], ``bias`` [out]."""

    weight: F32
    bias: F32


class Norm(NamedTuple):
    """Scale and shift of a layer norm, [width] each."""

    scale: F32
    shift: F32


class Layer(NamedTuple):
    """A Transformer layer."""

    query_key_value: Linear
    output: Linear
    attention_norm: Norm
    widen: Linear
    narrow: Linear
    norm: Norm


@dataclass(frozen=True)
class BertWeights:
    """The weights of a BERT, in fp32 but for the words."""

    config: BertConfig
    embedding: Embedding
    norm: Norm
    layers: tuple[Layer, ...]

    @property
    def linears(self) -> list[Linear]:
        """The linear layers in the order in which a text passes them."""
        return [
            linear
            for layer in self.layers
            for linear in (layer.query_key_value, layer.output, layer.widen, layer.narrow)
        ]

    @classmethod
    def of(cls, state: Mapping[str, Array], config: BertConfig) -> BertWeights:
        """Of arrays by their names in ``transformers``. Raises TextEncoderError: one is missing."""

        def pair(name: str) -> tuple[F32, F32]:
            return state[f"{name}.weight"].astype(np.float32), state[f"{name}.bias"].astype(np.float32)

        def layer(name: str) -> Layer:
            parts = [pair(f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
            return Layer(
                Linear(*map(np.concatenate, zip(*parts, strict=True))),
                Linear(*pair(f"{name}.attention.output.dense")),
                Norm(*pair(f"{name}.attention.output.LayerNorm")),
                Linear(*pair(f"{name}.intermediate.dense")),
                Linear(*pair(f"{name}.output.dense")),
                Norm(*pair(f"{name}.output.LayerNorm")),
            )

        try:
            places, kinds = (state[f"embeddings.{of}_embeddings.weight"] for of in ("position", "token_type"))
            return cls(
                config=config,
                # A copy: a view would keep all of the fp32 weights in memory.
                embedding=Embedding(
                    state["embeddings.word_embeddings.weight"].copy(),
                    places.astype(np.float32) + kinds.astype(np.float32)[0],
                ),
                norm=Norm(*pair("embeddings.LayerNorm")),
                layers=tuple(layer(f"encoder.layer.{n}") for n in range(config.layers)),
            )
        except KeyError as missing:
            raise TextEncoderError(f"the checkpoint has no tensor {missing}: it is no BERT encoder") from missing


def _ranges(bert: BertWeights) -> list[F32]:
    """See :func:`activation_ranges`."""
    watched: list[Value] = []
    shape = (CALIBRATION_TEXTS, min(CALIBRATION_TOKENS, bert.config.positions))
    tokens = np.random.default_rng(0).integers(0, len(bert.embedding.words), shape)

    def linear(graph: _Graph, x: str, layer: Linear) -> str:
        channels = (layer.weight.shape[1],)
        largest = graph.add("ReduceMax", graph.add("Abs", x), graph.constant(np.array([0, 1])), keepdims=0)
        watched.append((largest, np.float32, channels))
        product = graph.add("MatMul", x, graph.constant(np.ascontiguousarray(layer.weight.T)))
        return graph.add("Add", product, graph.constant(layer.bias))

    graph = _forward(bert, linear)
    session = _session(graph.serialized(("embedded", np.float32, ("n", "length", bert.config.width)), *watched))
    return list(session.run(None, {"embedded": bert.embedding(tokens)}))


def _int8(bert: BertWeights, ranges: Sequence[F32], unsigned: bool) -> bytes:
    """The forward pass in int8 behind the embedding: ``embedded`` [n, length, width] -> ``vectors`` [n, width]."""
    largest, width = iter(ranges), bert.config.width
    graph = _forward(bert, lambda graph, x, layer: _int8_linear(graph, x, layer, next(largest), unsigned))
    return graph.serialized(("embedded", np.float32, ("n", "length", width)), ("vectors", np.float32, ("n", width)))


def _forward(bert: BertWeights, linear: Callable[[_Graph, str, Linear], str]) -> _Graph:
    """The forward pass behind the embedding, with linear layers as ``linear`` writes them."""
    graph, config = _Graph(), bert.config

    def norm(x: str, pair: Norm) -> str:
        scale, shift = map(graph.constant, pair)
        return graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=config.epsilon)

    x = norm("embedded", bert.norm)
    for layer in bert.layers:
        parts = graph.split(linear(graph, x, layer.query_key_value), 3)
        seen = graph.add("Attention", *parts, q_num_heads=config.heads, kv_num_heads=config.heads)
        attended = linear(graph, seen, layer.output)
        x = norm(graph.add("Add", x, attended), layer.attention_norm)
        widened = graph.add("Gelu", linear(graph, x, layer.widen))
        x = norm(graph.add("Add", x, linear(graph, widened, layer.narrow)), layer.norm)
    pooled = graph.add("ReduceMean", x, graph.constant(np.array([1])), keepdims=0)
    graph.add("LpNormalization", pooled, out="vectors", axis=-1, p=2)
    return graph


def _int8_linear(graph: _Graph, x: str, layer: Linear, largest: F32, unsigned: bool) -> str:
    """A linear layer with int8 weights, one scale per output; activations become int8 by their range.

    A few of BERT's channels are ten times as large as the others, and one scale for all of them would round the others
    away. SmoothQuant (Xiao et al. 2023, arXiv 2211.10438, eq. 4) moves that range into the weights:
    ``s_j = max|x_j|^a / max|w_j|^(1 - a)``, ``y = (x / s) (w s)^T + b``.
    """
    smooth = _floor(largest) ** SMOOTHING / _floor(np.abs(layer.weight).max(axis=0)) ** (1 - SMOOTHING)
    weight = layer.weight * smooth
    scales = _floor(np.abs(weight).max(axis=1)) / 127
    rounded = np.ascontiguousarray((weight / scales[:, None]).round().T)
    zero = 128 if unsigned else 0
    kind = np.uint8 if unsigned else np.int8
    # ONNX Runtime makes one kernel of all that follows.
    shrunk = graph.add("Mul", x, graph.constant(1 / smooth))
    values, scale, origin = graph.quantized(shrunk)
    zeros = graph.constant(np.full(len(scales), zero, dtype=kind))
    sums = graph.add("MatMulInteger", values, graph.constant((rounded + zero).astype(kind)), origin, zeros)
    scaled = graph.add("Mul", graph.add("Cast", sums, to=1), graph.add("Mul", scale, graph.constant(scales)))
    return graph.add("Add", scaled, graph.constant(layer.bias))


def _floor(values: F32) -> F32:
    return np.maximum(values, np.float32(1e-3))


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

    def serialized(self, entry: Value, *results: Value) -> bytes:
        """The graph as a model, from ``entry`` to ``results``."""
        from onnx import helper

        ends = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
            for name, kind, shape in (entry, *results)
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
