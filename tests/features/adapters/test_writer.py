"""What an import writes: days whole or not at all, nothing over what is there, every row accounted for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from features.adapters import base
from features.adapters.base import AdapterError, ImportRequest, Loaded
from features.adapters.run import import_logs
from features.file_names import is_catalog
from infra.settings import RawSettings
from tests.features.adapters.shop_of import shop_of
from tests.features.raw_log import DAY, Row, event, next_day, query


def dump(file: Path, *rows: Row) -> str:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(file)


def texts(logs: Path) -> dict[str, list[str]]:
    return {day.name: pq.read_table(day / "ubi_queries.parquet")["user_query"].to_pylist() for day in logs.glob("dt=*")}


def test_days_that_are_not_asked_for_are_not_written(tmp_path: Path) -> None:
    rows = [query(f"q{n}", day=next_day(n)) for n in range(4)] + [event("click", "a", day=next_day(3))]
    file = dump(tmp_path / "dump.ndjson", *rows)
    outcome = import_logs("ubi", [file], tmp_path / "logs", days=(next_day(1), next_day(2)))
    assert list(outcome.written.days) == [next_day(1), next_day(2)]
    assert outcome.written.outside == 3
    with pytest.raises(AdapterError, match="is after"):
        import_logs("ubi", [file], tmp_path / "logs", days=(next_day(2), next_day(1)))


def test_a_day_that_the_files_cut_is_told(tmp_path: Path) -> None:
    counts = [1, 4, 4, 4, 2, 1]
    rows = [query(f"q{n}-{m}", day=next_day(n)) for n, count in enumerate(counts) for m in range(count)]
    file = dump(tmp_path / "dump.ndjson", *rows)
    told = [note for note in import_logs("ubi", [file], tmp_path / "logs").notes if "usual" in note]
    assert [("--from 2026-05-11" in note, "--until 2026-05-14" in note) for note in told] == [
        (True, False),
        (False, True),
    ]
    whole = import_logs("ubi", [file], tmp_path / "whole", days=(next_day(1), next_day(4)))
    assert not [note for note in whole.notes if "usual" in note]


@pytest.mark.slow
def test_what_is_there_is_refused_and_stays(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    import_logs("ubi", [dump(tmp_path / "a.ndjson", query("q1", user_query="old"))], logs)
    new = dump(tmp_path / "b.ndjson", query("q2", user_query="new"), query("q3", day=next_day()))
    done: list[str] = []
    with pytest.raises(AdapterError, match="already holds 2026-05-10: add --replace"):
        import_logs("ubi", [new], logs, progress=lambda sentence, share: done.append(sentence))
    assert not [sentence for sentence in done if sentence.startswith("writing")]
    assert texts(logs) == {"dt=2026-05-10": ["old"]}
    (logs / "dt=2026-05-10/catalog.csv").write_text("sku,name\na,Lamp\n")
    import_logs("ubi", [new], logs, replace=True)
    assert texts(logs) == {"dt=2026-05-10": ["new"], "dt=2026-05-11": ["red shoes"]}
    assert (logs / "dt=2026-05-10/catalog.csv").exists()
    (logs / "dt=2026-05-10/hand.ndjson").write_text("{}\n")
    with pytest.raises(AdapterError, match=r"holds hand\.ndjson, which no import wrote"):
        import_logs("ubi", [new], logs, replace=True)
    assert sorted(p.name for p in logs.iterdir() if not p.name.startswith(".")) == ["dt=2026-05-10", "dt=2026-05-11"]
    assert not list(logs.glob(".import-*"))


def made_adapter(monkeypatch: pytest.MonkeyPatch, **tables: str) -> str:
    """Name of a source whose tables are these queries."""
    module: Any = ModuleType("made_adapter")
    module.OPTIONS = {}

    def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
        for name, rows in tables.items():
            connection.execute(f"CREATE TABLE {name} AS {rows}")
        n = sum(base.count(connection, f"SELECT count(*) FROM {name}") for name in tables if name != "catalog")
        connection.execute(
            f"CREATE TABLE b AS SELECT 'row' AS source_event, 'row' AS became, {n} AS rows, {n} AS written"
        )
        return Loaded(rows_in=n, became="b", **{name: name for name in tables})

    module.load = load
    monkeypatch.setitem(sys.modules, "made_adapter", module)
    monkeypatch.setattr(base, "ADAPTERS", {"made": "made_adapter"})
    return "made"


ASKED = "SELECT 'q' AS query_id, 'u' AS client_id, 'lamp' AS user_query, TIMESTAMPTZ '2026-05-10 10:00:00' AS timestamp"


@pytest.mark.parametrize("name", ["catalog.parquet", "catalog.csv"])
def test_a_day_written_anew_keeps_the_catalogue_of_the_shop_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    logs = tmp_path / "logs"
    day = logs / "dt=2026-05-10"
    seen = "SELECT DATE '2026-05-10' AS dt, 'a' AS item_id, 'Lamp' AS title"

    def catalogs() -> list[str]:
        return sorted(path.name for path in day.iterdir() if is_catalog(path.name))

    import_logs(made_adapter(monkeypatch, queries=ASKED, catalog=seen), [], logs)
    assert catalogs() == ["catalog.parquet"]
    import_logs(made_adapter(monkeypatch, queries=ASKED), [], logs, replace=True)
    assert catalogs() == []
    if name == "catalog.csv":
        (day / name).write_text("sku,title\na,Old\n")
    else:
        pq.write_table(pa.table({"item_id": ["a"], "title": ["Old"]}), day / name)
    before = (day / name).read_bytes()
    for more in ({}, {"catalog": seen}):
        import_logs(made_adapter(monkeypatch, queries=ASKED, **more), [], logs, replace=True)
        assert catalogs() == [name]
        assert (day / name).read_bytes() == before


@pytest.mark.slow
def test_a_click_after_the_last_midnight_goes_with_its_search(tmp_path: Path) -> None:
    rows = [query("q1", "23:59:55"), event("click", "b", "00:00:05", day=next_day(), query_id="q1")]
    shop = shop_of("ubi", tmp_path, Path(dump(tmp_path / "dump.ndjson", *rows)), catalog=False)
    assert shop.imported.written.days == {DAY: {"queries": 1, "events": 1}}
    assert "2026-05-11 has no request: its 1 events are in the folder of 2026-05-10." in shop.imported.notes
    assert [(r["action"], r["item_id"], r["query_id"]) for r in shop.rows("events")] == [("click", "b", "q1")]
    assert shop.reasons() == {}


def test_other_days_without_a_request_are_told(tmp_path: Path) -> None:
    rows = [query("q1"), query("q2", day=next_day(2)), event("click", "b", day=next_day(1))]
    outcome = import_logs("ubi", [dump(tmp_path / "dump.ndjson", *rows)], tmp_path / "logs")
    assert outcome.written.days[next_day(1)] == {"events": 1}
    told = "2026-05-11: no request is of these days, so that a run leaves their folders out, with 1 events."
    assert told in outcome.notes
    late = [query("q1", "23:59:55"), event("click", "b", "00:00:05", day=next_day(), query_id="q1")]
    file = dump(tmp_path / "late.ndjson", *late)
    narrow = import_logs("ubi", [file], tmp_path / "narrow", raw=RawSettings(ahead_window=timedelta(0)))
    assert told in narrow.notes
    assert list(narrow.written.days) == [DAY, next_day()]


def test_what_a_stray_day_says_of_items_goes_along_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = "SELECT 'click' AS action_name, 'b' AS object_id, TIMESTAMPTZ '2026-05-11 00:00:05' AS timestamp"
    seen = (
        "SELECT dt::DATE AS dt, item_id, title FROM (VALUES ('2026-05-10', 'a', 'Lamp'), ('2026-05-11', 'a', 'Again'),"
        " ('2026-05-11', 'b', 'Chair')) AS t (dt, item_id, title)"
    )
    source = made_adapter(monkeypatch, queries=ASKED, events=events, catalog=seen)
    outcome = import_logs(source, [], tmp_path / "logs")
    assert outcome.written.days == {DAY: {"queries": 1, "events": 1, "catalog": 2}}
    items = pq.ParquetFile(tmp_path / "logs/dt=2026-05-10/catalog.parquet").read().to_pylist()
    assert sorted(row["title"] for row in items) == ["Chair", "Lamp"]


def test_a_catalogue_is_not_written_over(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    goods = dump(tmp_path / "products.ndjson", {"sku": "a", "name": "Lamp"})
    log = dump(tmp_path / "dump.ndjson", query("q1"))
    assert import_logs("ubi", [log, goods], logs).written.catalog == 1
    with pytest.raises(AdapterError, match=r"already has a catalogue \(catalog.parquet\): add --replace"):
        import_logs("ubi", [dump(tmp_path / "c.ndjson", query("q2", day=next_day())), goods], logs)
    import_logs("ubi", [log, goods], logs, replace=True)
    (logs / "products.csv").write_text("sku\n")
    with pytest.raises(AdapterError, match=r"products.csv\): take it away first"):
        import_logs("ubi", [log, goods], logs, replace=True)


def test_paths_that_name_nothing_and_other_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where a URL that is taken for a path would make a folder
    logs = tmp_path / "logs"
    (tmp_path / "bare").mkdir()
    file = dump(tmp_path / "dump.ndjson", query("q1"))
    cases: list[tuple[str, dict[str, Any]]] = [
        ("raise --memory", {"memory": "1MB"}),
        ("write a size such as 2GB", {"memory": "lots"}),
        ("names no file with something in it", {"files": [str(tmp_path / "none*.json")]}),
        ("bare names no file with something in it", {"files": [str(tmp_path / "bare")]}),
        ("cannot be read", {"files": ["nosuchprotocol://bucket/x"]}),
        ("is no time zone", {"zone": "Mars/Base"}),
        ("there is no adapter", {"source": "excel"}),
        ("has no option", {"options": {"index": "x"}}),
        ("--to s3://bucket/logs: name a local folder", {"logs": Path("s3://bucket/logs")}),
        (r"\.docx is not read", {"files": [dump(tmp_path / "log.docx", query("q1"))]}),
        ("cannot be read, one is damaged", {"files": [damaged(tmp_path / "broken.parquet")]}),
    ]
    for message, change in cases:
        how = {"source": "ubi", "files": [file], "logs": logs} | change
        with pytest.raises(AdapterError, match=message):
            import_logs(how.pop("source"), how.pop("files"), how.pop("logs"), **how)
    with FileLock(logs / ".import.lock"), pytest.raises(AdapterError, match="another import"):
        import_logs("ubi", [file], logs)
    assert not list(logs.glob("dt=*"))
    assert not list(logs.glob(".import-*"))
    assert not (tmp_path / "s3:").exists()


def damaged(file: Path) -> str:
    file.write_bytes(b"PAR1 and no end")
    return str(file)


def adapter_that(made: int, accounted: int, rows_in: int) -> Any:
    module: Any = ModuleType("broken_adapter")
    module.OPTIONS = {}

    def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
        connection.execute(f"CREATE TABLE q AS SELECT 'q' || i AS query_id, TIMESTAMPTZ '2026-05-10' AS timestamp"
                           f" FROM range({made}) AS t (i)")  # fmt: skip
        connection.execute(f"CREATE TABLE b AS SELECT 'x' AS source_event, 'request' AS became, {accounted} AS rows,"
                           f" {accounted} AS written")  # fmt: skip
        return Loaded(rows_in=rows_in, became="b", queries="q")

    module.load = load
    return module


@pytest.mark.parametrize(("made", "accounted", "rows_in"), [(3, 2, 2), (2, 3, 3), (2, 2, 3)])
def test_an_adapter_that_loses_rows_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: int, accounted: int, rows_in: int
) -> None:
    monkeypatch.setitem(sys.modules, "broken_adapter", adapter_that(made, accounted, rows_in))
    monkeypatch.setattr(base, "ADAPTERS", {"broken": "broken_adapter"})
    with pytest.raises(RuntimeError, match="please report this"):
        import_logs("broken", [], tmp_path / "logs")
    assert not list((tmp_path / "logs").glob("dt=*"))


STOPS_AT_THE_FIFTH = """
import sys, time
from pathlib import Path
from features.adapters.run import import_logs

real, moves = Path.replace, []

def replace(self, target):
    done = real(self, target)
    moves.extend([target] if sys.argv[1] in Path(target).parts else [])
    if len(moves) == 5:
        print("here", flush=True)
        time.sleep(600)
    return done

Path.replace = replace
import_logs("ubi", [sys.argv[2]], Path(sys.argv[3]), replace=True)
"""


@pytest.mark.kill
@pytest.mark.parametrize("moment", ["stage", "old"])
def test_kill_leaves_no_half_day(tmp_path: Path, moment: str) -> None:
    """Killed while it writes, or between taking a day out and putting the new one in: the old days are there."""
    logs = tmp_path / "logs"
    days = [next_day(n) for n in range(30)]
    first = dump(tmp_path / "a.ndjson", *(query(f"q{n}", user_query="old", day=day) for n, day in enumerate(days)))
    import_logs("ubi", [first], logs)
    second = dump(tmp_path / "b.ndjson", *(query(f"q{n}", user_query="new", day=day) for n, day in enumerate(days)))
    command = [sys.executable, "-c", STOPS_AT_THE_FIFTH, moment, second, str(logs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    named = [f"dt={day}" for day in days]
    new = named[:4] if moment == "old" else []
    left = {name: text for name, (text,) in texts(logs).items()}
    assert len(list(logs.glob(f".import-*/{moment}/dt=*"))) == 5
    assert left == {day: "new" if day in new else "old" for day in named if moment == "stage" or day != named[4]}
    third = dump(tmp_path / "c.ndjson", query("q", user_query="third", day=date(2026, 7, 1)))
    import_logs("ubi", [third], logs)
    there = {name: text for name, (text,) in texts(logs).items()}
    assert there == {**{day: "new" if day in new else "old" for day in named}, "dt=2026-07-01": "third"}
    assert not list(logs.glob(".import-*"))


def test_a_remote_file_is_copied(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://shop/log/dump.ndjson", "w") as stream:
        stream.write(json.dumps(query("q1")) + "\n" + json.dumps(query("q2")) + "\n")
    outcome = import_logs("ubi", ["memory://shop/log"], tmp_path / "logs")
    assert outcome.written.days == {DAY: {"queries": 2}}
