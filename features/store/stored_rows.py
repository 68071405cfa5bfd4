"""Rows that Feast wrote to Redis, read without Feast, whose import takes longer than all else that serving needs.

The layout is Feast's, described in its ``docs/specs/online_store_format.md``: an entity is a hash; its key is the
serialized entity, then the project; a field is the murmur3 hash of ``VIEW:FEATURE`` and holds a protobuf ``Value``;
``_ts:VIEW`` holds the row's event time. A test holds what is read here against ``get_online_features``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mmh3
import pyarrow as pa
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from features.store.definitions import View

if TYPE_CHECKING:
    from types import ModuleType

    from redis.client import Pipeline

FEAST = "0.67.0"
"""The version whose layout this is; the tests passed with it."""
ENTITY_KEY_VERSION = 3
"""Feast's ``entity_key_serialization_version``."""
VALUES = "feast.protos.feast.types.Value_pb2"


class LayoutError(RuntimeError):
    """Another version of Feast is installed than the one whose rows can be read."""


class StoredRow(NamedTuple):
    """What Redis has of an entity, however old."""

    values: dict[str, Any]
    """By feature; 0 or an empty tuple where none is stored."""
    stamp: datetime
    """Event time."""


class StoredRows:
    """Reads the rows of one feature view; any number of threads may."""

    def __init__(self, project: str, view: View) -> None:
        """Raises LayoutError where Feast's version is another than the one whose layout is known."""
        check_version(version("feast"))
        types = _value_types()
        self._value = types.Value
        self._text = types.ValueType.STRING
        self._project = project.encode()
        self._entity = struct.pack("<III", 1, self._text, len(view.key.encode())) + view.key.encode()
        # Feast keeps the first four bytes, little end first.
        fields = [struct.pack("<I", mmh3.hash(f"{view.name}:{name}", signed=False)) for name in view.features]
        self._fields = [*fields, f"_ts:{view.name}".encode()]
        lists = [pa.types.is_list(view.schema.field(name).type) for name in view.features]
        self._empty = {name: () if is_list else 0 for name, is_list in zip(view.features, lists, strict=True)}

    def ask(self, pipeline: Pipeline, entity_ids: Sequence[str]) -> None:
        """Add to a pipeline what reads the rows of entities."""
        for entity_id in entity_ids:
            pipeline.hmget(self._key(entity_id), self._fields)  # type: ignore[arg-type] # its stubs know text alone

    def rows(self, found: Sequence[Sequence[bytes | None]]) -> list[StoredRow | None]:
        """What the pipeline gave for them; None for an entity without a row."""
        return [self._row(values) for values in found]

    def _key(self, entity_id: str) -> bytes:
        text = entity_id.encode()
        return b"".join((self._entity, struct.pack("<II", self._text, len(text)), text, self._project))

    def _row(self, found: Sequence[bytes | None]) -> StoredRow | None:
        *stored, stamp = found
        if not stamp:
            return None
        values = {
            name: self._of(value, empty) if value else empty
            for (name, empty), value in zip(self._empty.items(), stored, strict=True)
        }
        return StoredRow(values, Timestamp.FromString(stamp).ToDatetime(tzinfo=UTC))

    def _of(self, stored: bytes, empty: Any) -> Any:
        value = self._value.FromString(stored)
        kind = value.WhichOneof("val")
        if kind is None or kind == "null_val":
            return empty
        found = getattr(value, kind)
        return tuple(found.val) if kind.endswith("list_val") else found


def check_version(installed: str) -> None:
    """Refuse a version of Feast whose layout nobody has looked at.

    Raises:
        LayoutError: says what to do.
    """
    if installed != FEAST:
        raise LayoutError(
            f"feast {installed} is installed, but rows are read as feast {FEAST} writes them: install that version"
            " (`pip install -c constraints.txt -e .`)"
        )


@cache
def _value_types() -> ModuleType:
    """Feast's generated protobuf types of values, from their own file: importing it by name imports all of Feast."""
    if VALUES in sys.modules:
        return sys.modules[VALUES]
    package = find_spec("feast")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]).joinpath(*VALUES.split(".")[1:]).with_suffix(".py")
    spec = spec_from_file_location("features.store.feast_values", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
