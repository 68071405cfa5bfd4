from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from features.split import validation_days, window_split
from infra.contract.partitions import drop_partition, write_partition
from infra.contract.tables import REQUESTS
from infra.settings import Settings, TrainingSettings
from tests.features.small_log import START, midnight, small_log


def shop(tmp_path: Path, days: int, training: TrainingSettings | None = None) -> Settings:
    settings = Settings(home=tmp_path, shop="toy", training=training or TrainingSettings())
    small_log(days=days).write(settings)
    return settings


def test_the_last_days_validate_and_the_days_before_train(tmp_path: Path) -> None:
    split = window_split(shop(tmp_path, 6, TrainingSettings(validation_days=2, train_days=3)))
    assert split.cut == midnight(START + timedelta(days=4))
    assert split.end == midnight(START + timedelta(days=6))
    assert split.train_start == midnight(START + timedelta(days=1))


@pytest.mark.parametrize("days", [1, 2])
def test_a_short_log_is_cut_by_its_share_of_requests(tmp_path: Path, days: int) -> None:
    split = window_split(shop(tmp_path, days, TrainingSettings(validation_share=0.25)))
    times = small_log(days=days).requests["time"].to_pylist()
    assert sum(time >= split.cut for time in times) == len(times) * 0.25
    assert split.train_start == midnight(START)
    assert split.end == midnight(START + timedelta(days=days))


def test_a_held_last_day_is_not_what_validates(tmp_path: Path) -> None:
    settings = shop(tmp_path, 5)
    drop_partition(settings.paths.sessions / "requests", START + timedelta(days=4))
    assert window_split(settings).cut == midnight(START + timedelta(days=3))


@pytest.mark.parametrize(("days", "validating"), [(1, 1), (4, 1), (8, 1), (10, 2), (15, 3), (30, 3), (365, 3)])
def test_a_log_gives_so_many_of_its_days(days: int, validating: int) -> None:
    assert validation_days(TrainingSettings(), days) == validating
    assert validation_days(TrainingSettings(validation_days=7), days) == 7


def test_no_days_and_no_requests_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="build the sessions first"):
        window_split(Settings(home=tmp_path, shop="none"))
    settings = Settings(home=tmp_path, shop="toy")
    write_partition(settings.paths.sessions / "requests", START, REQUESTS.empty_table(), REQUESTS)
    with pytest.raises(ValueError, match="no requests"):
        window_split(settings)
