"""The image of the API alone: its group of dependencies is pinned, is part of ours, and is all that a search needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from serving.index import promote, push
from tests.serving.small_shop import make_shop

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = {
    name: {canonicalize_name(Requirement(line).name) for line in lines}
    for name, lines in PYPROJECT["dependency-groups"].items()
}
OURS = {"infra", "features", "training", "serving", "tests"}
FEAST_EXTRAS = {"redis", "hiredis", "duckdb"}
BY_A_SETTING = {"s3", "otel"}
"""Extras that both images have: what a setting asks for cannot be installed in a container that runs."""
SEARCH = """
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"no module {name} in the image", name=name)
sys.meta_path.insert(0, NotInstalled())
import serving
from infra.settings import get_settings
from serving.api import __main__, server
server.create_app(get_settings())
assert serving.retrieve("u1", "red shoes").hits
"""


def with_theirs(names: set[str]) -> set[str]:
    """Distributions and all that they depend on, as pip would install them."""
    found: set[str] = set()
    todo = set(names)
    while todo:
        found |= todo
        wanted = (Requirement(line) for name in todo for line in requires(name) or ())
        todo = {
            canonicalize_name(of.name) for of in wanted if not of.marker or of.marker.evaluate({"extra": ""})
        } - found
    return found


def names(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_both_images_have_what_a_setting_can_ask_for() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert set().union(*(names(extras[extra]) for extra in BY_A_SETTING)) <= GROUPS["serving"]
    text = (ROOT / "infra" / "deploy" / "image" / "Containerfile").read_text(encoding="utf-8")
    (installed,) = re.findall(r"'\.\[([a-z0-9,]+)\]'", text)
    assert set(installed.split(",")) >= BY_A_SETTING


def test_every_name_is_pinned_and_comes_with_shelfwise_anyway() -> None:
    pinned = {
        canonicalize_name(line.split("==")[0])
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"\w", line)
    }
    ours = names(PYPROJECT["project"]["dependencies"])
    ours |= set().union(*(names(PYPROJECT["project"]["optional-dependencies"][extra]) for extra in BY_A_SETTING))
    for group in GROUPS.values():
        assert group <= pinned
        assert group <= with_theirs(ours | FEAST_EXTRAS)


@pytest.mark.server
def test_a_search_needs_nothing_else(tmp_path: Path) -> None:
    """What pip would not bring is hidden: the search has to do without."""
    shop = make_shop(tmp_path, items=50)
    push(shop.settings, shop.release())
    promote(shop.settings, shop.release().id)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHELFWISE_")}
    environment |= {"SHELFWISE_HOME": str(tmp_path), "SHELFWISE_SHOP": "small", "SHELFWISE_ONLINE__TIMEOUT_MS": "500"}
    installed = with_theirs(GROUPS["serving"]) | GROUPS["serving-files"] | {"shelfwise"}
    missing = {
        module
        for module, names in packages_distributions().items()
        if not {canonicalize_name(name) for name in names} & installed and module not in OURS
    }
    assert {"dagster", "ibis", "transformers"} <= missing
    command = [sys.executable, "-c", f"MISSING = {missing!r}{SEARCH}"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
