"""``shelfwise import`` on the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra.settings import get_settings
from orchestration.cli import app, main
from orchestration.importing import import_and_print
from tests.features.raw_log import event, query


def test_it_says_what_became_of_each_event_and_what_is_next(tmp_path: Path) -> None:
    file = tmp_path / "dump.ndjson"
    rows = [query("q1"), event("click", "a"), event("stare", "a"), {"weather": "fine"}]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    console = Console(width=160, record=True)
    import_and_print(console, "ubi", [str(file)], tmp_path / "logs")
    told = " ".join(console.export_text().split())
    assert "query request 1 1" in told
    assert "click click 1 1" in told
    assert "stare event of no known meaning 1 1" in told
    assert "row left out: neither a query, nor an event, nor an item 1" in told
    assert "4 rows read, 1 of them left out" in told
    assert "1 day from 2026-05-10 to 2026-05-10, 1 row of queries, 2 rows of events" in told
    assert f"shelfwise check {tmp_path / 'logs'}" in told


def test_the_settings_of_the_shop_reach_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dump.ndjson"
    file.write_text(json.dumps(query("q1")) + "\n" + json.dumps(event("stare", "a")) + "\n")
    monkeypatch.setenv("SHELFWISE_RAW__ACTIONS", '{"stare": "cart"}')
    get_settings.cache_clear()
    try:
        result = CliRunner().invoke(app, ["import", "ubi", str(file), "--to", str(tmp_path / "logs")])
    finally:
        get_settings.cache_clear()
    assert result.exit_code == 0
    assert "stare cart 1 1" in " ".join(result.output.split())


def test_options_reach_the_import_and_errors_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dump.ndjson"
    file.write_text(json.dumps(query("q1")) + "\n")
    arguments = ["import", "ubi", str(file), "--to", str(tmp_path / "logs")]
    result = CliRunner().invoke(app, [*arguments, "--from", "2026-05-11", "--zone", "Europe/Berlin"])
    assert result.exit_code == 1
    assert "Nothing was written" in result.output
    rows = [query(f"q{n}", timestamp="one day") for n in range(3)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "products.csv").write_text("sku,name\na,Lamp\n")
    result = CliRunner().invoke(app, [*arguments[:3], str(tmp_path / "products.csv"), *arguments[3:]])
    assert result.exit_code == 1
    assert "No day was written" in result.output
    monkeypatch.setattr(sys, "argv", ["shelfwise", *arguments, "--set", "index=x"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "ubi has no option index; it has none" in " ".join(capsys.readouterr().err.split())
