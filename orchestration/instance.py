"""The Dagster instance of a shop: its folder, telemetry off, our loggers shown in the UI."""

from __future__ import annotations

import os
from pathlib import Path

from infra.settings import Settings

DAGSTER_YAML = """\
nux:
  enabled: false
telemetry:
  enabled: false
python_logs:
  managed_python_loggers: [shelfwise]
  python_log_level: INFO
concurrency:
  runs:
    max_concurrent_runs: 1
run_monitoring:
  enabled: true
# A run whose process died is run again, once; one that a check or a step stopped is not: it would stop there again.
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
"""


def dagster_home(settings: Settings) -> Path:
    """Make the instance's folder, name it in ``DAGSTER_HOME`` and return it. A ``dagster.yaml`` of yours is kept."""
    home = settings.paths.dagster
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(DAGSTER_YAML, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home
