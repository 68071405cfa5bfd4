"""Every setting says what it is."""

from __future__ import annotations

from docs.settings_page import groups_of, settings_of
from infra.settings import Settings


def test_every_setting_has_a_docstring() -> None:
    groups = list(groups_of(Settings.model_construct(), "SHELFWISE_"))
    every = [one for prefix, group in groups for one in settings_of(group, prefix)]
    assert len(every) > 150
    assert not [one.name for one in every if not one.doc]


def test_every_group_has_a_docstring() -> None:
    for prefix, group in groups_of(Settings.model_construct(), "SHELFWISE_"):
        assert type(group).__doc__, prefix
