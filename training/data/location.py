"""Where an item or a request is, as labels that both towers share (UEPPR, section on location encoders).

| label | of |
|---|---|
| ``#country us`` | the country as logged |
| ``#language en`` | the language; of a locale (``en-US``) its language |
| ``#zip 5``, ``#zip 54``, ..., ``#zip 54321`` | the postal code and its prefixes, letters and digits only |
| ``#geo50 17``, ``#geo100 3``, ``#geo500 211`` | the nearest of k centroids of latitude and longitude |

What is absent or no place on Earth gives no label.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.contract.location import BOUNDS, MAX_TEXT_CHARS, check_location
from infra.contract.query_text import SPACES

Floats = NDArray[np.float64]
Labelled = tuple[NDArray[np.int64], pa.Array]
"""Row lengths [n] and the labels of all rows, one after the other."""

BUCKETS = (50, 100, 500)
ZIP_CHARS = 8
"""Longest prefix of a postal code that is a label: the longest code in use but for ZIP+4, whose end is one street."""
REGION, NOT_ZIP = f"(?s)[{SPACES[1:-2]}\x1c-\x1f]*[-_].*", "[^0-9a-z]+"
"""What is cut off a locale and out of a postal code: patterns that RE2 and Python read alike."""
ROWS_AT_ONCE = 8192
DECIMALS = 6
"""Of a centroid's degrees: a tenth of a metre."""


@dataclass(frozen=True, eq=False)
class LocationBuckets:
    """Centroids of k-means by the k that was asked for: latitude and longitude in degrees, float64 [at most k, 2].

    K-means runs on the unit sphere, so that points on both sides of the date line, or around a pole, are neighbours.
    """

    centroids: Mapping[int, Floats]

    @classmethod
    def fit(
        cls, latitude: NDArray[Any], longitude: NDArray[Any], ks: Sequence[int] = BUCKETS, seed: int = 0
    ) -> LocationBuckets:
        """Fit on degrees [n], NaN where unknown; what is out of range is left out.

        Where there are no more distinct points than k, each is a centroid of its own. The same points and seed give
        the same centroids.

        Raises:
            ValueError: a k below 1, or arrays of different lengths.
        """
        if min(ks, default=1) < 1:
            raise ValueError(f"numbers of buckets must be 1 or more, not {list(ks)}")
        if latitude.shape != longitude.shape or latitude.ndim != 1:
            raise ValueError(f"latitude {latitude.shape} and longitude {longitude.shape} must be [n] of one n")
        known = _on_earth(latitude, longitude)
        degrees = np.stack([latitude[known], longitude[known]], axis=1).astype(np.float64).round(DECIMALS)
        points, counts = np.unique(degrees, axis=0, return_counts=True)
        return cls({int(k): _k_means(points, counts, k, seed) for k in sorted(set(ks))})

    @classmethod
    def of_table(cls, *tables: pa.Table, ks: Sequence[int] = BUCKETS, seed: int = 0) -> LocationBuckets:
        """Fit on the columns ``latitude`` and ``longitude`` of tables, which may lack them."""
        degrees = [(_numbers(table, "latitude"), _numbers(table, "longitude")) for table in tables]
        latitude, longitude = (np.concatenate([pair[side] for pair in degrees]) for side in (0, 1))
        return cls.fit(latitude, longitude, ks, seed)

    def to_json(self) -> dict[str, Any]:
        return {str(k): degrees.tolist() for k, degrees in self.centroids.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LocationBuckets:
        """What :meth:`to_json` wrote."""
        return cls({int(k): np.asarray(degrees, np.float64).reshape(-1, 2) for k, degrees in value.items()})

    def labels(self, table: pa.Table) -> Labelled:
        """The labels of each row, in the order of the table above.

        Args:
            table: any of ``tables.LOCATION_NAMES``; others are ignored.
        """
        country, language, zips = (_texts(table, name) for name in ("country", "language", "zip"))
        language = _filled(pc.replace_substring_regex(language, REGION, ""))
        zips = _filled(pc.replace_substring_regex(zips, NOT_ZIP, ""))
        buckets = self._buckets(_numbers(table, "latitude"), _numbers(table, "longitude"))
        return _interleaved(
            [
                _part("#country", country),
                _part("#language", language),
                *(_part("#zip", _prefix(zips, length)) for length in range(1, ZIP_CHARS + 1)),
                *(_part(f"#geo{k}", pa.array(b, mask=b < 0).cast(pa.string())) for k, b in buckets.items()),
            ]
        )

    def labels_of(self, location: Mapping[str, object]) -> list[str]:
        """The labels of one request's location, those that :meth:`labels` gives a row of it, in a tenth of the time.

        Raises:
            ValueError: an unknown field, a wrong type, or no place on Earth; the message says what is allowed.
        """
        check_location(location)
        country, language, zips = (_folded(location.get(name)) for name in ("country", "language", "zip"))
        language, zips = re.sub(REGION, "", language), re.sub(NOT_ZIP, "", zips)
        degrees = (np.array([location.get(name)], dtype=np.float64) for name in ("latitude", "longitude"))
        return [
            *([f"#country {country}"] if country else []),
            *([f"#language {language}"] if language else []),
            *(f"#zip {zips[:length]}" for length in range(1, min(len(zips), ZIP_CHARS) + 1)),
            *(f"#geo{k} {bucket[0]}" for k, bucket in self._buckets(*degrees).items() if bucket[0] >= 0),
        ]

    @cached_property
    def _vectors(self) -> dict[int, Floats]:
        """The centroids as unit vectors, of those k that have any."""
        return {k: _on_sphere(*degrees.T) for k, degrees in self.centroids.items() if len(degrees)}

    def _buckets(self, latitude: Floats, longitude: Floats) -> dict[int, NDArray[np.int64]]:
        """The nearest centroid of each row, -1 where the place is unknown, [n] for each k."""
        known = np.flatnonzero(_on_earth(latitude, longitude))
        points, row_of_point = np.unique(latitude[known] + 1j * longitude[known], return_inverse=True)
        vectors = _on_sphere(points.real, points.imag)
        found = {}
        for k, centroids in self._vectors.items():
            found[k] = np.full(len(latitude), -1)
            found[k][known] = _nearest(vectors, centroids)[row_of_point]
        return found


def _k_means(points: Floats, counts: NDArray[np.int64], k: int, seed: int) -> Floats:
    """Centroids of distinct ``points`` [n, 2] (degrees) that occur ``counts`` times, sorted, [at most k, 2]."""
    if len(points) <= k:
        return points
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # the order of a sum over threads would move the centroids from run to run
    try:
        solver = faiss.Kmeans(3, k, seed=seed % 2**31, spherical=True, min_points_per_centroid=1)
        vectors = _on_sphere(points[:, 0], points[:, 1]).astype(np.float32)
        solver.train(vectors, weights=counts.astype(np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    x, y, z = np.asarray(solver.centroids, dtype=np.float64).T
    degrees = np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)], axis=1))
    centroids: Floats = np.unique(degrees.round(DECIMALS), axis=0)
    return centroids


def _on_earth(latitude: NDArray[Any], longitude: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (np.abs(latitude) <= BOUNDS["latitude"]) & (np.abs(longitude) <= BOUNDS["longitude"])
    return inside


def _on_sphere(latitude: Floats, longitude: Floats) -> Floats:
    """Degrees [n] to unit vectors, [n, 3]."""
    up, east = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(up) * np.cos(east), np.cos(up) * np.sin(east), np.sin(up)], axis=1)


def _nearest(vectors: Floats, centroids: Floats) -> NDArray[np.int64]:
    """The centroid with the largest dot product with each vector, [n]."""
    nearest = np.empty(len(vectors), dtype=np.int64)
    x, y, z = centroids.T
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        part = vectors[start : start + ROWS_AT_ONCE, :, None]
        # Summed by hand: a matrix product rounds by the shape of its batch, and one row must get the bucket of many.
        nearest[start : start + ROWS_AT_ONCE] = np.argmax(part[:, 0] * x + part[:, 1] * y + part[:, 2] * z, axis=1)
    return nearest


def _texts(table: pa.Table, name: str) -> pa.Array:
    """A column in lower case without blanks around it, null where it is absent, empty or too long for a place."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    column = _fold(table[name].combine_chunks().cast(pa.string()))
    return pc.if_else(pc.less_equal(pc.utf8_length(column), MAX_TEXT_CHARS), _filled(column), None)


def _fold(texts: Any) -> Any:
    """An Arrow array or scalar of texts as they are compared."""
    return pc.utf8_trim_whitespace(pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC")))


def _folded(text: object) -> str:
    """``_fold`` of one text, '' where there is none; too long once folded is none."""
    if not isinstance(text, str):
        return ""
    # Arrow's kernels take 25 us a call, and beyond ASCII Python and Arrow fold by other versions of Unicode.
    folded: str = text.lower().strip() if text.isascii() else _fold(pa.scalar(text)).as_py()
    return folded if len(folded) <= MAX_TEXT_CHARS else ""


def _filled(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.not_equal(column, ""), column, None)


def _numbers(table: pa.Table, name: str) -> Floats:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = pc.fill_null(table[name].combine_chunks().cast(pa.float64()), math.nan)
    numbers: Floats = column.to_numpy(zero_copy_only=False)
    return numbers


def _prefix(column: pa.Array, length: int) -> pa.Array:
    """The first ``length`` characters of the texts that have so many, null of the others."""
    longer = pc.greater_equal(pc.utf8_length(column), length)
    return pc.if_else(longer, pc.utf8_slice_codeunits(column, 0, length), None)


def _part(prefix: str, values: pa.Array) -> Labelled:
    """A label per value that there is."""
    lengths = values.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths, pc.binary_join_element_wise(prefix, values.drop_null(), " ")


def _interleaved(parts: Sequence[Labelled]) -> Labelled:
    """The labels of each part, row after row, within a row in the order of the parts."""
    rows = np.concatenate([np.repeat(np.arange(len(lengths)), lengths) for lengths, _ in parts])
    order = np.argsort(rows, kind="stable")
    labels = pa.concat_arrays([labels for _, labels in parts]).take(pa.array(order))
    return np.sum([lengths for lengths, _ in parts], axis=0), labels
