"""What a model is trained with: the version of this package and of the libraries that numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "torch", "onnxruntime", "numpy", "safetensors", "transformers", "pyarrow", "duckdb", "feast", "faiss-cpu",
    "pymilvus", "milvus-lite",
)  # fmt: skip


def package_version() -> str:
    """Version of this package; ``unknown`` where it runs without being installed."""
    return _version("shelfwise")


def dependencies() -> dict[str, str]:
    """Versions of Python and of ``LIBRARIES`` here; ``unknown`` for one that is not installed under its name."""
    return {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
