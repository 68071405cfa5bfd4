"""What the command line prints: data and advice as they are, at 80 columns."""

from __future__ import annotations

import json
import logging
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from orchestration import report
from orchestration.loop import LoopOutcome
from orchestration.report import print_evaluation, print_outcome, print_side_by_side
from orchestration.samples import SideBySide
from orchestration.searching import print_retrieval
from orchestration.terminal import StepLines
from serving import Hit, Retrieval
from serving.retrieval import NOTHING_TO_SEARCH
from tests.orchestration.conftest import SmallShop
from training.evaluation import ALL, EvaluationReport

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
    answer = Retrieval(
        hits=[Hit("i[/b]1", 0.5, item={"item_id": "i[/b]1", "title": TITLE})],
        release_id="65757b8cd905",
        personalized=False,
        fallbacks=[],
        cached=False,
        timings_ms={"total": 1.0},
        corrected="r [/b]",
    )
    print_retrieval(console, answer)
    print_side_by_side(console, SideBySide("q [/b]", [("u [/i]", "h [/u]")], [[TITLE]]))
    for text in (TITLE, "i[/b]1", "for r [/b]; --as-typed", "q [/b]", "u [/i]", "h [/u]"):
        assert text in said(console)


def test_a_query_with_nothing_to_search_for_is_told(console: Console) -> None:
    answer = Retrieval(
        hits=[],
        release_id="65757b8cd905",
        personalized=False,
        fallbacks=[],
        cached=False,
        timings_ms={"total": 1.0},
        not_searched=NOTHING_TO_SEARCH,
    )
    print_retrieval(console, answer)
    assert "Nothing was searched for: the query has no letter or number" in said(console)
    assert "seems to fit" not in said(console), "whether anything fits is not known"


def test_advice_keeps_its_brackets(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "shop_settings", SmallShop(tmp_path).settings)
    monkeypatch.setattr(report, "live_release_id", lambda _: None)
    print_outcome(console, LoopOutcome("0" * 32, False, (DAY, DAY), [], [ADVICE]))
    assert ADVICE in said(console)


def test_progress_keeps_its_brackets(console: Console) -> None:
    lines = StepLines(console)
    lines._shown = float("-inf")
    lines.emit(logging.LogRecord("shelfwise", logging.INFO, "", 0, "reading a[/b].csv", None, None))
    assert "reading a[/b].csv" in said(console)


def test_an_evaluation_is_a_line_per_method(console: Console, tmp_path: Path) -> None:
    settings = SmallShop(tmp_path).settings()
    methods = [method for method in ALL if "within" not in method] + ["live"]
    figure = {"value": 0.462, "low": 0.402, "high": 0.524}
    rows = [
        {"method": method} | dict.fromkeys(("recall@10", "recall@100", "recall@1000"), figure) for method in methods
    ]
    release = settings.paths.releases / "65757b8cd905"
    release.mkdir(parents=True)
    evaluation = EvaluationReport("orders", 274, 20_600, rows, {"returning users": {"requests": 273, "rows": rows}})
    (release / "evaluation.json").write_text(json.dumps(evaluation.to_json()))
    print_evaluation(console, settings, release.name)
    lines = said(console).splitlines()
    for method in methods:
        assert any(method in line and line.count("0.462 [0.402, 0.524]") == 2 for line in lines), method
    assert max(map(len, lines)) <= 80
