"""Days that are replaced together, from parts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.contract.partitions import (
    drop_partition,
    part_files,
    partition_file,
    partition_files,
    partition_rows,
    replace_partition,
    table_files,
    write_parquet,
    write_partition,
    write_partitions,
    written_days,
)

SCHEMA = pa.schema([("n", pa.int64())])
DAYS = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)]


def part(*numbers: int) -> pa.Table:
    return pa.table({"n": numbers}, SCHEMA)


def numbers(table: Path, day: date) -> list[int]:
    held: list[int] = pq.read_table(partition_file(table, day), partitioning=None)["n"].to_pylist()
    return held


def test_parts_of_a_day_follow_each_other(tmp_path: Path) -> None:
    parts = [(DAYS[0], part(1, 2)), (DAYS[1], part()), (DAYS[0], part()), (DAYS[2], part(7)), (DAYS[0], part(0))]
    assert write_partitions(tmp_path, parts, SCHEMA) == {DAYS[0]: 3, DAYS[1]: 0, DAYS[2]: 1}
    assert [numbers(tmp_path, day) for day in DAYS] == [[1, 2, 0], [], [7]]
    assert pq.read_metadata(partition_file(tmp_path, DAYS[0])).num_row_groups == 2


def test_one_part_is_written_as_by_itself(tmp_path: Path) -> None:
    for content in (part(), part(3), pa.concat_tables([part(), part(1), part(2, 3)])):
        write_partitions(tmp_path / "together", [(DAYS[0], content)], SCHEMA)
        write_partition(tmp_path / "alone", DAYS[0], content, SCHEMA)
        together, alone = (partition_file(tmp_path / name, DAYS[0]).read_bytes() for name in ("together", "alone"))
        assert together == alone


@pytest.mark.parametrize("good", [0, 1, 4])
def test_all_days_keep_their_rows_where_a_part_fails(tmp_path: Path, good: int) -> None:
    write_partitions(tmp_path, [(day, part(9)) for day in DAYS], SCHEMA)

    def failing() -> Iterator[tuple[date, pa.Table]]:
        yield from [(DAYS[n % 3], part(n)) for n in range(good)]
        raise MemoryError

    with pytest.raises(MemoryError):
        write_partitions(tmp_path, failing(), SCHEMA)
    assert [numbers(tmp_path, day) for day in DAYS] == [[9], [9], [9]]
    assert sorted(file for file in tmp_path.rglob("*") if file.is_file()) == [partition_file(tmp_path, d) for d in DAYS]


def written_in_parts(table: Path, day: date, *parts: pa.Table) -> None:
    """As Spark leaves a day."""
    folder = table.with_name("written") / f"dt={day}"
    shutil.rmtree(folder, ignore_errors=True)
    for number, rows in enumerate(parts):
        write_parquet(folder / f"part-{number:05}.parquet", rows, SCHEMA)
    replace_partition(table, day, folder)


def held(table: Path, day: date) -> list[list[int]]:
    return [pq.read_table(file, partitioning=None)["n"].to_pylist() for file in part_files(table, day)]


def test_a_day_of_several_parts_is_one_day(tmp_path: Path) -> None:
    table = tmp_path / "table"
    write_partition(table, DAYS[0], part(1), SCHEMA)
    written_in_parts(table, DAYS[1], part(2, 3), part(), part(4))
    assert written_days(table) == DAYS[:2]
    assert held(table, DAYS[1]) == [[2, 3], [], [4]]
    assert [partition_rows(table, day) for day in DAYS] == [1, 3, 0]
    assert partition_files(table, DAYS) == [str(file) for file in table_files(table)]
    drop_partition(table, DAYS[1])
    assert written_days(table) == DAYS[:1]


def test_parts_take_the_place_of_one_file_and_one_file_that_of_parts(tmp_path: Path) -> None:
    table = tmp_path / "table"
    write_partition(table, DAYS[0], part(1), SCHEMA)
    written_in_parts(table, DAYS[0], part(2), part(3))
    assert held(table, DAYS[0]) == [[2], [3]]
    written_in_parts(table, DAYS[0], part(4))
    assert held(table, DAYS[0]) == [[4]]
    write_partition(table, DAYS[0], part(5), SCHEMA)
    assert [path for path in table.rglob("*") if path.is_file()] == [partition_file(table, DAYS[0])]
    assert held(table, DAYS[0]) == [[5]]


@pytest.mark.parametrize("step", [0, 1])
def test_a_kill_while_parts_are_moved_leaves_the_old_day_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    table = tmp_path / "table"
    written_in_parts(table, DAYS[0], part(1), part(2))
    done, move = [], Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.is_dir() and len(done) == step:
            raise KeyboardInterrupt
        done.extend([self] if self.is_dir() else [])
        return move(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        written_in_parts(table, DAYS[0], part(3), part(4))
    assert held(table, DAYS[0]) == ([] if step else [[1], [2]])
    monkeypatch.undo()
    written_in_parts(table, DAYS[0], part(5))
    assert held(table, DAYS[0]) == [[5]]
    assert list(table.iterdir()) == [table / f"dt={DAYS[0]}"]
