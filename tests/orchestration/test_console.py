"""What the command line prints: data and advice as they are, at 80 columns."""

from __future__ import annotations

import logging
from datetime import date
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from orchestration import report
from orchestration.loop import LoopOutcome
from orchestration.report import print_outcome, print_side_by_side
from orchestration.samples import SideBySide
from orchestration.show import print_retrieval
from orchestration.terminal import StepLines
from serving import Hit, Retrieval
from tests.orchestration.conftest import SmallShop

TITLE = "[refurbished] Vase [/neu] [red]"
ADVICE = 'Say in shelfwise.toml, under [raw.actions], what each is, such as "[/x]" = "ignore"'
DAY = date(2026, 3, 1)


def said(console: Console) -> str:
    """What was printed so far."""
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=80)


def test_titles_and_ids_are_no_markup(console: Console) -> None:
    answer = Retrieval([Hit("i[/b]1", 0.5)], "65757b8cd905", False, [], False, {"total": 1.0})
    print_retrieval(console, SimpleNamespace(describe=lambda _: TITLE), answer)  # type: ignore[arg-type]
    print_side_by_side(console, SideBySide("q [/b]", [("u [/i]", "h [/u]")], [[TITLE]]))
    for text in (TITLE, "i[/b]1", "q [/b]", "u [/i]", "h [/u]"):
        assert text in said(console)


def test_advice_keeps_its_brackets(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "shop_settings", SmallShop(tmp_path).settings)
    monkeypatch.setattr(report, "live_release_id", lambda _: None)
    print_outcome(console, LoopOutcome("0" * 32, False, DAY, DAY, [], [ADVICE]))
    assert ADVICE in said(console)


def test_progress_keeps_its_brackets(console: Console) -> None:
    lines = StepLines(console)
    lines._shown = float("-inf")
    lines.emit(logging.LogRecord("shelfwise", logging.INFO, "", 0, "reading a[/b].csv", None, None))
    assert "reading a[/b].csv" in said(console)
