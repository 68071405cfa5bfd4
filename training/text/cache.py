"""Embeddings of a frozen encoder, computed once per text and kept by content.

Under ``<home>/cache/embeddings/<encoder fingerprint>/`` lie parts that are only ever added: Parquet with page
checksums, columns ``key`` (MD5 of the text, 16 bytes) and ``vector`` (float32, little-endian). A part is written beside
its place and moved there, so processes may write at once: at worst a text is computed twice. Shops share the cache.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.progress import Progress
from infra.settings import Settings
from training.text.encoder import TextEncoder, Texts, strings

PART_TEXTS = 8_192
"""Texts of a part: what a killed run loses at most."""

logger = logging.getLogger("shelfwise.text_encoder")


def embed(
    settings: Settings, encoder: TextEncoder, texts: Texts, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Unit rows float32 [n, width], as ``encoder.encode`` gives them; only texts never seen before are computed."""
    folder = settings.home.expanduser().resolve() / "cache" / "embeddings" / encoder.fingerprint
    distinct = strings(texts).dictionary_encode()
    keys = _keys(distinct.dictionary)
    vectors = np.zeros((len(keys) + 1, encoder.width), dtype=np.float32)  # the last row: no text
    missing = np.flatnonzero(~_look_up(folder, keys, vectors))
    with _threads(settings.training.threads):
        for start in range(0, len(missing), PART_TEXTS):
            rows = missing[start : start + PART_TEXTS]
            vectors[rows] = encoder.encode(distinct.dictionary.take(pa.array(rows)))
            _write_part(folder, keys.take(pa.array(rows)), vectors[rows])
            if progress is not None:
                progress(f"{start + len(rows):,} of {len(missing):,} new texts", (start + len(rows)) / len(missing))
    places: NDArray[np.int32] = pc.fill_null(distinct.indices, len(keys)).to_numpy(zero_copy_only=False)
    return vectors[places]


def _keys(texts: pa.Array) -> pa.Array:
    """MD5 of each text, fixed-size binary [n]: 128 bits name a text, they protect nothing."""
    import duckdb

    with duckdb.connect() as db:
        db.register("texts", pa.table({"row": pa.array(np.arange(len(texts))), "text": texts}))
        hashed = db.sql("SELECT unhex(md5(text)) AS key FROM texts ORDER BY row").to_arrow_table()["key"]
    return hashed.combine_chunks().cast(pa.binary(16))


def _look_up(folder: Path, keys: pa.Array, vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Fill the rows of ``vectors`` whose key a part has; return which were filled, [n]."""
    found = np.zeros(len(keys), dtype=np.bool_)
    for part in sorted(folder.glob("part-*.parquet")):
        if found.all():
            break
        table = _read_part(part, vectors.shape[1])
        if table is None:
            continue
        places = pc.index_in(keys, value_set=table["key"].combine_chunks())
        rows = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False) & ~found)
        held = table["vector"].combine_chunks()
        stored = np.frombuffer(held.buffers()[1], "<f4").reshape(-1, vectors.shape[1])
        vectors[rows] = stored[held.offset + places.take(pa.array(rows)).to_numpy()]
        found[rows] = True
    return found


def _read_part(path: Path, width: int) -> pa.Table | None:
    """A part; a damaged one is taken away and its texts are computed again."""
    schema = _schema(width)
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        if table.schema.equals(schema):
            return table
        reason = f"its columns are {table.schema.names}"
    except (FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError) as error:
        reason = str(error)
    logger.warning("cached embeddings %s are damaged (%s): computing them again", path, reason)
    path.unlink(missing_ok=True)
    return None


def _write_part(folder: Path, keys: pa.Array, vectors: NDArray[np.float32]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    width = vectors.shape[1]
    data = pa.py_buffer(np.ascontiguousarray(vectors, dtype="<f4"))
    held = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * width), len(vectors), [None, data])
    name = uuid.uuid4().hex
    temporary = folder / f".{name}"
    try:
        table = pa.Table.from_arrays([keys, held], schema=_schema(width))
        pq.write_table(table, temporary, compression="none", use_dictionary=False, write_page_checksum=True)
        temporary.replace(folder / f"part-{name}.parquet")
    finally:
        temporary.unlink(missing_ok=True)


def _schema(width: int) -> pa.Schema:
    return pa.schema([("key", pa.binary(16)), ("vector", pa.binary(4 * width))])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch  # here: a server that reads queries alone does without

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
