from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.contract.tables import LOCATION_NAMES
from training.data.items import label_rows
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher

KINDS = [pa.string(), pa.string(), pa.string(), pa.float64(), pa.float64()]
SCHEMA = pa.schema(list(zip(LOCATION_NAMES, KINDS, strict=True)))
BERLIN = {"country": " DE ", "language": "de-DE", "zip": "10115-12", "latitude": 52.5, "longitude": 13.4}
PITFALLS = ["US", "en_US", "SW1A 1AA", "５４３２１", "-", " ", "İ", "ΑΣ"]
WORDS = st.none() | st.text(max_size=70) | st.sampled_from(PITFALLS)
PLACES = st.fixed_dictionaries(
    {},
    optional={"country": WORDS, "language": WORDS, "zip": st.text(max_size=10) | WORDS},
).flatmap(
    lambda texts: st.builds(
        lambda point: texts | (dict(zip(("latitude", "longitude"), point, strict=True)) if point else {}),
        st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    )
)


def rows_of(buckets: LocationBuckets, table: pa.Table) -> list[list[str]]:
    lengths, labels = buckets.labels(table)
    ends = np.cumsum(lengths)
    assert len(lengths) == table.num_rows
    assert (ends[-1] if len(ends) else 0) == len(labels)
    return [labels.to_pylist()[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def cloud(count: int = 3_000, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Points around a few hundred towns, with repeats."""
    rng = np.random.default_rng(seed)
    towns = np.stack([rng.uniform(-70, 70, 300), rng.uniform(-180, 180, 300)])
    points = towns[:, rng.integers(300, size=count)] + rng.normal(0, 0.1, (2, count)).round(1)
    return np.clip(points[0], -90, 90), np.clip(points[1], -180, 180)


@pytest.fixture(scope="module")
def fitted() -> LocationBuckets:
    return LocationBuckets.fit(*cloud(), seed=3)


def test_each_part_has_its_labels(fitted: LocationBuckets) -> None:
    found = fitted.labels_of(BERLIN)
    zips = [f"#zip {'1011512'[:n]}" for n in range(1, 8)]
    assert found[:9] == ["#country de", "#language de", *zips]
    assert [label.split()[0] for label in found[9:]] == ["#geo50", "#geo100", "#geo500"]
    assert fitted.labels_of({}) == []
    assert fitted.labels_of({"zip": "123456789012"})[-1] == "#zip 12345678"
    empty = LocationBuckets.of_table(pa.table({"item_id": ["a"]}))
    assert empty.labels_of(BERLIN) == found[:9]


@settings(max_examples=150, deadline=None)
@given(st.lists(PLACES, max_size=6))
@example([{"language": "0\x85-"}, {"language": "de\x1c_at"}])
@example([BERLIN, {}, {"country": "x" * 65}, {"latitude": 90.0, "longitude": -180.0}])
def test_one_request_has_the_labels_of_its_row(fitted: LocationBuckets, places: list[dict[str, Any]]) -> None:
    allowed = [{k: v for k, v in p.items() if not isinstance(v, str) or len(v) <= 64} for p in places]
    rows = rows_of(fitted, pa.Table.from_pylist(allowed, SCHEMA))
    assert rows == [fitted.labels_of(place) for place in allowed]
    assert all(label == label.strip() and len(label.split(" ", 1)) == 2 for row in rows for label in row)


def test_every_ascii_character_folds_alike(fitted: LocationBuckets) -> None:
    places = [{"country": c + "A" + c, "language": c + "A" + c, "zip": c + "A" + c} for c in map(chr, range(128))]
    assert rows_of(fitted, pa.Table.from_pylist(places, SCHEMA)) == [fitted.labels_of(place) for place in places]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=8))
def test_hostile_degrees_fit_and_give_no_label(fitted: LocationBuckets, degrees: list[tuple[float, float]]) -> None:
    latitude, longitude = (np.array([d[side] for d in degrees], dtype=float) for side in (0, 1))
    buckets = LocationBuckets.fit(latitude, longitude, ks=(1, 3))
    on_earth = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    table = pa.table({"latitude": latitude, "longitude": longitude})
    assert [len(row) for row in rows_of(fitted, table)] == (3 * on_earth).tolist()
    assert [len(row) for row in rows_of(buckets, table)] == (2 * on_earth).tolist()


def test_missing_and_untyped_columns_are_absent(fitted: LocationBuckets) -> None:
    nothing = pa.table({name: pa.nulls(2, pa.int32()) for name in LOCATION_NAMES})
    assert rows_of(fitted, nothing) == [[], []]
    assert rows_of(fitted, pa.table({"item_id": ["a", "b"]})) == [[], []]
    assert rows_of(fitted, SCHEMA.empty_table()) == []
    in_pieces = pa.concat_tables([pa.table({"zip": ["12"]}), pa.table({"zip": pa.array([None, "3"])})])
    assert rows_of(fitted, in_pieces) == [["#zip 1", "#zip 12"], [], ["#zip 3"]]


def test_the_labels_become_tokens_of_items(fitted: LocationBuckets) -> None:
    table = pa.Table.from_pylist([BERLIN, {}, {"country": "de"}], SCHEMA)
    tokens = label_rows(Hasher(1_000, 32), fitted.labels(table))
    assert tokens.lengths.tolist() == [12, 0, 1]
    assert tokens[2][0] == tokens[0][0]


def test_the_same_points_and_seed_give_the_same_centroids(fitted: LocationBuckets) -> None:
    latitude, longitude = cloud()
    assert LocationBuckets.fit(latitude, longitude, seed=3).to_json() == fitted.to_json()
    order = np.random.default_rng(0).permutation(len(latitude))
    assert LocationBuckets.fit(latitude[order], longitude[order], seed=3).to_json() == fitted.to_json()
    assert LocationBuckets.fit(latitude, longitude, seed=4).to_json() != fitted.to_json()
    table = pa.table({"latitude": latitude, "longitude": longitude})
    halves = LocationBuckets.of_table(table.slice(0, 1_000), table.slice(1_000), pa.table({"zip": ["1"]}), seed=3)
    assert halves.to_json() == fitted.to_json()


def test_centroids_survive_json(fitted: LocationBuckets) -> None:
    again = LocationBuckets.from_json(json.loads(json.dumps(fitted.to_json())))
    latitude, longitude = cloud(seed=9)
    table = pa.table({"latitude": latitude, "longitude": longitude})
    assert again.labels(table)[1].equals(fitted.labels(table)[1])
    none = LocationBuckets.from_json(json.loads(json.dumps(LocationBuckets.fit(latitude[:0], longitude[:0]).to_json())))
    assert none.labels_of(BERLIN | {"zip": None}) == ["#country de", "#language de"]


def test_buckets_are_finer_with_k_and_near_their_centroid(fitted: LocationBuckets) -> None:
    latitude, longitude = cloud()
    sizes = {k: len(degrees) for k, degrees in fitted.centroids.items()}
    assert sizes == {50: 50, 100: 100, 500: 500}

    def mean_angle(k: int) -> float:
        lat, lon = np.radians(latitude), np.radians(longitude)
        centre = np.radians(fitted.centroids[k])
        cosines = np.sin(lat)[:, None] * np.sin(centre[:, 0]) + np.cos(lat)[:, None] * np.cos(centre[:, 0]) * np.cos(
            lon[:, None] - centre[:, 1]
        )
        return float(np.degrees(np.arccos(np.clip(cosines.max(axis=1), -1, 1))).mean())

    assert mean_angle(500) < mean_angle(100) < mean_angle(50) < 10


def test_the_date_line_and_the_poles_part_nothing() -> None:
    fiji = np.array([[-17.0, 179.9], [-17.0, -179.9]])
    pole = np.array([[89.9, 0.0], [89.9, 180.0], [89.9, -90.0]])
    europe = np.array([[48.0, 10.0], [48.1, 10.1], [47.9, 9.9]])
    points = np.concatenate([fiji, pole, europe])
    buckets = LocationBuckets.fit(points[:, 0], points[:, 1], ks=(3,), seed=1)
    (*groups,) = [row[0] for row in rows_of(buckets, pa.table({"latitude": points[:, 0], "longitude": points[:, 1]}))]
    assert [len(set(part)) for part in (groups[:2], groups[2:5], groups[5:])] == [1, 1, 1]
    assert len(set(groups)) == 3


def test_fewer_points_than_k_are_centroids_themselves() -> None:
    latitude, longitude = np.array([1.0, 2.0, 1.0, np.nan]), np.array([3.0, 4.0, 3.0, 5.0])
    buckets = LocationBuckets.fit(latitude, longitude, ks=(50, 1))
    assert buckets.centroids[50].tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert len(buckets.centroids[1]) == 1
    assert buckets.labels_of({"latitude": 2.1, "longitude": 4}) == ["#geo1 0", "#geo50 1"]


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ({"city": "Berlin"}, r"unknown fields \['city'\]; allowed are country, language, zip, latitude, longitude"),
        ({"zip": 10115}, "zip must be a text of at most 64 characters"),
        ({"country": "x" * 65}, "country must be a text of at most 64 characters"),
        ({"language": ["de"]}, "language must be a text"),
        ({"latitude": "52.5", "longitude": 13.4}, r"latitude must be a number of degrees from -90\.0 to 90\.0"),
        ({"latitude": True, "longitude": 13.4}, "latitude must be a number"),
        ({"latitude": float("nan"), "longitude": 13.4}, "latitude must be a number"),
        ({"latitude": 52.5, "longitude": 10**400}, r"longitude must be a number of degrees from -180\.0 to 180\.0"),
        ({"latitude": 52.5, "longitude": None}, "both latitude and longitude"),
    ],
)
def test_a_wrong_location_says_what_is_allowed(fitted: LocationBuckets, location: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fitted.labels_of(location)


def test_bad_arguments_of_a_fit() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        LocationBuckets.fit(np.zeros(3), np.zeros(3), ks=(0,))
    with pytest.raises(ValueError, match=r"must be \[n\] of one n"):
        LocationBuckets.fit(np.zeros(3), np.zeros(4))
