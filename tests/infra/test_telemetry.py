"""Telemetry is off, by each library's own reading of its switch or by what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.telemetry import SWITCHES, silence

WATCHED = """
import socket, sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.telemetry import silence
silence()
asked = []

def refuse(*args, **kwargs):
    asked.append(args)
    raise OSError("no network in this test")

socket.getaddrinfo = refuse
socket.create_connection = refuse
socket.socket.connect = refuse

import great_expectations as gx
import pandas as pd
context = gx.get_context(mode="ephemeral")
batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
suite = context.suites.add(gx.ExpectationSuite("s", expectations=[gx.expectations.ExpectColumnToExist(column="x")]))
check = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=batch, suite=suite))
assert check.run(batch_parameters={"dataframe": pd.DataFrame({"x": [1]})}).success

import pyarrow as pa
from infra.contract.tables import TIME
from features.store import apply, point_in_time
from infra.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
apply(settings)
rows = pa.table({"item_id": ["i"], "event_timestamp": pa.array([datetime.now(UTC)], TIME)})
assert point_in_time(settings, rows, ["item"]).num_rows == 1

from dagster._core.telemetry_upload import is_running_in_test, upload_logs
assert is_running_in_test()  # Dagster's name for: DAGSTER_DISABLE_TELEMETRY is set
import threading
upload_logs(threading.Event(), raise_errors=True)
print(asked)
"""


def test_switches_reach_child_processes() -> None:
    silence()
    code = f"import os; print(all(os.environ[k] == v for k, v in {SWITCHES!r}.items()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.slow
def test_onnx_runtime_leaves_no_identifier_of_the_machine(tmp_path: Path) -> None:
    """It keeps one beside the events that it sends. The environment is bare: in CI it would be silent by itself."""
    code = "from training.text import minilm; print(minilm(16).encode_query('red shoes').shape)"
    bare = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=bare)
    assert done.stdout.strip() == "(384,)", done.stderr
    assert not list(tmp_path.rglob("*onnxruntime*"))


@pytest.mark.slow
def test_no_library_calls_home(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
