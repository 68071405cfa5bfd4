"""Every setting says what it is, in the code and in the reference."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from docs.settings_page import Setting, groups_of, settings_of, value_text
from infra.settings import Settings
from training.release.gates import RIVALS

REFERENCE = Path(__file__).parents[2] / "docs/reference/settings.md"


def every_setting() -> list[Setting]:
    groups = groups_of(Settings.model_construct(), "SHELFWISE_")
    return [one for prefix, group in groups for one in settings_of(group, prefix)]


def test_every_setting_has_a_docstring() -> None:
    every = every_setting()
    assert len(every) > 140
    assert not [one.name for one in every if not one.doc]


def test_every_setting_stands_in_the_reference_with_what_it_is() -> None:
    rows = REFERENCE.read_text(encoding="utf-8").splitlines()
    said = {row.split("`")[1]: row for row in rows if row.startswith("| `SHELFWISE_")}
    assert said.keys() == {one.name for one in every_setting()}
    assert not [name for name, row in said.items() if row.endswith("|  |")]


def test_what_a_release_is_compared_with_is_named_where_its_bounds_are() -> None:
    (bound,) = (one.doc for one in every_setting() if one.name.endswith("GATES__MAX_DROP"))
    page = (REFERENCE.parents[1] / "gates.md").read_text(encoding="utf-8")
    for text in (bound.lower(), page.lower()):
        assert not [rival for rival in RIVALS if rival.replace(",", "").replace("+", "with") not in text]


def test_a_duration_stands_in_the_unit_that_one_reads() -> None:
    given = {"0 h": 0, "3 s": 3, "0.5 s": 0.5, "1800 s": 1800, "1 h": 3600, "1.5 h": 5400, "24 h": 86400, "2 d": 172800}
    assert {value_text(timedelta(seconds=seconds)): seconds for seconds in given.values()} == given


def test_every_group_has_a_docstring() -> None:
    for prefix, group in groups_of(Settings.model_construct(), "SHELFWISE_"):
        assert type(group).__doc__, prefix
