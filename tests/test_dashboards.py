"""Grafana's dashboards: they load, and each panel asks for what is exported, by labels that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scraped import exported, shop_with_live
from tests.test_alerts import ALERTS, NOT_OURS, OURS

GRAFANA = Path(__file__).parent.parent / "infra" / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))


def dashboard(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        for panel in dashboard(file)["panels"]:
            if panel["type"] != "row":
                yield f"{file.stem}: {panel['title']}", panel


PANELS = dict(panels())


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return exported(shop_with_live(tmp_path_factory.mktemp("dashboards")))


def test_there_is_one_for_who_is_woken_and_one_for_relevance() -> None:
    assert [file.stem for file in FILES] == ["relevance", "woken"]
    assert len({dashboard(file)["uid"] for file in FILES}) == 2
    assert len(PANELS) > 30, "titles differ within a dashboard"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_have_ids_of_their_own_and_do_not_overlap(file: Path) -> None:
    all_panels = dashboard(file)["panels"]
    assert len({panel["id"] for panel in all_panels}) == len(all_panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in all_panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_asks_for_what_is_exported(title: str, names: set[str]) -> None:
    for target in PANELS[title]["targets"]:
        asked = set(OURS.findall(target["expr"]))
        assert asked and asked <= names | NOT_OURS, asked - names
        assert PANELS[title]["datasource"]["uid"] == target["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_variables_are_asked_of_what_is_exported_and_all_are_used(file: Path, names: set[str]) -> None:
    board = dashboard(file)
    expressions = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", []))
    variables = {one["name"]: one for one in board["templating"]["list"]}
    used = set(re.findall(r"\$([a-z]+)", expressions))
    assert used == variables.keys() - {"datasource"}
    for name in used:
        assert set(OURS.findall(variables[name]["query"]["query"])) <= names


def test_the_alerts_that_a_panel_names_exist() -> None:
    named = {name for panel in PANELS.values() for name in re.findall(r"Shelfwise\w+", panel["description"])}
    assert len(named) > 8 and named <= set(ALERTS)


def test_grafana_is_told_where_they_lie() -> None:
    (file,) = (GRAFANA / "provisioning" / "dashboards").glob("*.yaml")
    (provider,) = yaml.safe_load(file.read_text(encoding="utf-8"))["providers"]
    assert provider["type"] == "file" and provider["options"]["path"]
