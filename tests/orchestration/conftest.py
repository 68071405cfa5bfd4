"""A small demo shop, run through the command line as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.settings import DemoSettings, Settings

SMALL = {
    "SHELFWISE_DEMO__USERS": "150",
    "SHELFWISE_DEMO__ITEMS": "600",
    "SHELFWISE_DEMO__DAYS": "6",
    "SHELFWISE_TRAINING__EPOCHS": "2",
    "SHELFWISE_TRAINING__BATCH_SIZE": "128",
    "SHELFWISE_TRAINING__BUCKETS": "8192",
}
DAYS = [f"2026-03-0{n}" for n in range(1, 7)]


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    output: str


@dataclass(frozen=True)
class SmallShop:
    """A folder of shops, and the command line over it."""

    home: Path

    def settings(self, landing: Path | None = None) -> Settings:
        return Settings(
            home=self.home,
            landing=str(landing) if landing else None,
            demo=DemoSettings(users=150, items=600, days=6),
        )

    def environment(self) -> dict[str, str]:
        return os.environ | SMALL | {"SHELFWISE_HOME": str(self.home), "COLUMNS": "200"}

    def start(
        self, *arguments: str, module: str = "orchestration.cli", environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A process of ``python -m module``; ``environment`` comes on top of the shop's."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**self.environment(), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self, *arguments: str, module: str = "orchestration.cli", environment: Mapping[str, str] | None = None
    ) -> Ran:
        """As :meth:`start`, to its end."""
        process = self.start(*arguments, module=module, environment=environment)
        output, _ = process.communicate(timeout=600)
        return Ran(process.returncode, output)


@pytest.fixture(scope="session")
def new_shop(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], SmallShop]:
    return lambda: SmallShop(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def demo_shop(new_shop: Callable[[], SmallShop]) -> SmallShop:
    """The small demo shop after its first run."""
    shop = new_shop()
    ran = shop.run("run")
    assert ran.code == 0, ran.output
    return shop
