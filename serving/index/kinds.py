"""Index types and their parameters: what a release chose, in the words of FAISS and of Milvus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.settings import IndexSettings, IndexType

if TYPE_CHECKING:
    from training.release.release import Release

METRIC = "IP"
"""Inner product: the score that the towers are trained on. Vectors are not all of one length, so no cosine."""
RERANK = 5
"""Candidates per wanted item that a lossy index hands to the exact re-rank."""
EF_CONSTRUCTION = 200


@dataclass(frozen=True)
class IndexChoice:
    """An index type and its parameters, by name:

    - ``FLAT``: none.
    - ``HNSW``: ``m`` links per item; a search for k keeps max(``ef``, ``ef_per_k`` * k) candidates.
    - ``IVF_FLAT``: ``nlist`` lists, of which a search reads ``nprobe``.
    - ``PQ_FASTSCAN``: ``dims_per_code`` entries of a vector share a code of 4 bits; re-ranked over 5 * k.
    """

    type: IndexType = "FLAT"
    params: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, "params": dict(self.params)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IndexChoice:
        """What :meth:`to_json` wrote."""
        return cls(value["type"], dict(value["params"]))

    @property
    def build(self) -> tuple[str, float | None]:
        """What an index is built by; the other parameters are the search's."""
        built_by = {"HNSW": "m", "IVF_FLAT": "nlist", "PQ_FASTSCAN": "dims_per_code"}
        return self.type, self.params[built_by[self.type]] if self.type in built_by else None

    def ef(self, k: int) -> int:
        """Candidates that HNSW keeps for the best ``k``; never fewer than k, which a server refuses."""
        return max(int(self.params["ef"]), math.ceil(self.params["ef_per_k"] * k), k)


def usual_choice(kind: IndexType, items: int) -> IndexChoice:
    """A type with parameters that are usual for so many items: where no tuner ran."""
    nlist = max(1, int(4 * math.sqrt(items)))
    params: dict[IndexType, dict[str, float]] = {
        "FLAT": {},
        "HNSW": {"m": 16, "ef": 256, "ef_per_k": 2.0},
        "IVF_FLAT": {"nlist": nlist, "nprobe": max(1, nlist // 8)},
        "PQ_FASTSCAN": {"dims_per_code": 2},
    }
    return IndexChoice(kind, params[kind])


def choice_of(release: Release) -> IndexChoice:
    """What the tuner wrote into the release; without it, the type that was asked for, and exact search for ``auto``."""
    if release.manifest.index:
        return IndexChoice.from_json(release.manifest.index["chosen"])
    wanted = release.manifest.config["index"]["index_type"]
    return usual_choice("FLAT" if wanted == "auto" else wanted, len(release.items.ids))


def milvus_build(choice: IndexChoice, settings: IndexSettings) -> tuple[str, dict[str, int]]:
    """Index type and build parameters of a collection; one that only keeps the vectors gets no index to build."""
    params = choice.params
    if settings.searched_by == "memory":
        return "FLAT", {}
    if choice.type == "HNSW":
        return "HNSW", {"M": int(params["m"]), "efConstruction": EF_CONSTRUCTION}
    if choice.type == "IVF_FLAT":
        return "IVF_FLAT", {"nlist": int(params["nlist"])}
    return "FLAT", {}


def milvus_search(choice: IndexChoice, k: int) -> dict[str, Any]:
    """Search parameters for the best ``k``."""
    params: dict[str, int] = {}
    if choice.type == "HNSW":
        params = {"ef": choice.ef(k)}
    elif choice.type == "IVF_FLAT":
        params = {"nprobe": int(choice.params["nprobe"])}
    return {"metric_type": METRIC, "params": params}
