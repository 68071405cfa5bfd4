"""Every setting says what it is, in the code and in the reference."""

from __future__ import annotations

from pathlib import Path

from docs.settings_page import Setting, groups_of, settings_of
from infra.settings import Settings

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


def test_every_group_has_a_docstring() -> None:
    for prefix, group in groups_of(Settings.model_construct(), "SHELFWISE_"):
        assert type(group).__doc__, prefix
