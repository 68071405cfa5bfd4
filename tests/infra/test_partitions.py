"""Days that are replaced together, from parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.contract.partitions import partition_file, write_partition, write_partitions

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
