"""Settings of the vector index."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import SecretStr, model_validator

from infra.settings.base import Count, Group, Share

IndexType = Literal["FLAT", "HNSW", "IVF_FLAT", "PQ_FASTSCAN"]


class IndexSettings(Group):
    """The vector index."""

    uri: str | None = None
    """A Milvus server; None: an embedded milvus-lite, shared by processes."""
    token: SecretStr | None = None
    """Token of the Milvus server."""
    search: Literal["auto", "memory", "milvus"] = "auto"
    """Who answers searches of the live collection: FAISS in this process over its vectors, or Milvus. ``auto``: memory
    for the embedded Milvus, which needs 10 ms for 20,000 items where FAISS needs 0.3; a server answers by itself."""
    index_type: Literal["auto"] | IndexType = "auto"
    """``auto``: the fastest that loses at most ``max_recall_loss``, as measured on each candidate's own vectors.
    ``FLAT`` is exact; ``PQ_FASTSCAN`` is FAISS's product quantization with codes of 4 bits and exact re-rank."""
    max_recall_loss: Share = 0.01
    """Share of exact search's items that the index may miss at 100 and at 1,000: a bound of the tuner and a gate."""
    tuning_trials: Count = 24
    """Most settings of an index that are measured."""
    kept_releases: Count = 3
    """Releases kept on disk; live and the one before always are."""

    @property
    def searched_by(self) -> Literal["memory", "milvus"]:
        """Who answers searches, ``auto`` resolved."""
        if self.search != "auto":
            return self.search
        return "memory" if self.uri is None else "milvus"

    @model_validator(mode="after")
    def _milvus_has_the_type(self) -> Self:
        if self.index_type == "PQ_FASTSCAN" and self.searched_by == "milvus":
            raise ValueError("index_type PQ_FASTSCAN is searched in memory only: set index.search to memory, or HNSW")
        return self
